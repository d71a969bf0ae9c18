"""What CloudWatch tells of the nodes of a group: which metrics, and rows of them. Pure.

Each metric is asked for as the statistic that shows trouble: the most of a minute, or
the sum. Names are those of the ElastiCache documentation ("Metrics for Valkey and Redis
OSS", "Host-level metrics").
"""

import msgspec

PERIOD_S = 60
"""ElastiCache publishes a value for each minute."""

METRICS = {
    "EngineCPUUtilization": "Maximum",
    "CPUUtilization": "Maximum",
    "CurrConnections": "Maximum",
    "NewConnections": "Sum",
    "DatabaseMemoryUsagePercentage": "Maximum",
    "ReplicationLag": "Maximum",
    "NetworkBandwidthInAllowanceExceeded": "Sum",
    "NetworkBandwidthOutAllowanceExceeded": "Sum",
}


class MetricRow(msgspec.Struct, frozen=True):
    """One line of ``cloudwatch.ndjson``: a node in the minute that begins then.

    What comes later of a minute is in another line. A line with a ``problem`` says why
    nothing was told then; it has no node.
    """

    node: str
    unix_s: int
    values: dict[str, float]
    problem: str = ""


class Fresh:
    """Picks what was not told before: the last minutes are asked for again."""

    def __init__(self) -> None:
        self._told: set[tuple[str, int, str]] = set()

    def rows(self, rows: list[MetricRow]) -> list[MetricRow]:
        """Return of rows the values that are new."""
        fresh = []
        for row in rows:
            values = {
                name: value
                for name, value in row.values.items()
                if (row.node, row.unix_s, name) not in self._told
            }
            self._told |= {(row.node, row.unix_s, name) for name in values}
            if values:
                fresh.append(msgspec.structs.replace(row, values=values))
        return fresh

    def forget(self, before_unix_s: int) -> None:
        """Forget minutes that will not be asked for again."""
        self._told = {each for each in self._told if each[1] >= before_unix_s}
