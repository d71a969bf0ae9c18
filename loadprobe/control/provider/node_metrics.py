"""The metrics that CloudWatch has of the nodes of a group."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from loadprobe.clock import NS_PER_S
from loadprobe.control.provider.explaining import CallErrors, explain
from loadprobe.control.provider.replies import from_unix_ns
from loadprobe.core.topology.node_metrics import METRICS, PERIOD_S, MetricRow

_MOST_NODES = 60  # a call takes 500 queries
_NAMESPACE = "AWS/ElastiCache"


class NodeMetrics:
    """The client of CloudWatch.

    Args:
        client: of aiobotocore.
        region: where it is.
    """

    def __init__(self, client: Any, region: str) -> None:
        self._client = client
        self._where = f"CloudWatch in {region}"

    async def rows(
        self, nodes: Iterable[str], since_unix_s: int, until_unix_s: int
    ) -> list[MetricRow]:
        """Return what is known of a time, by minute and node.

        Args:
            nodes: cache cluster ids.
            since_unix_s: of the first minute.
            until_unix_s: end of the last one.

        Raises:
            ControlError: one of the three faults.
        """
        asked = list(queries(sorted(nodes)[-_MOST_NODES:]))
        found: dict[tuple[int, str], dict[str, float]] = {}
        token: dict[str, str] = {}
        while asked:
            try:
                reply = await self._client.get_metric_data(
                    MetricDataQueries=asked,
                    StartTime=from_unix_ns(since_unix_s * NS_PER_S),
                    EndTime=from_unix_ns(until_unix_s * NS_PER_S),
                    **token,
                )
            except CallErrors as exc:
                raise explain(
                    exc, operation="GetMetricData", arguments={}, where=self._where
                ) from exc
            for result in reply.get("MetricDataResults", ()):
                node, _, metric = result["Label"].partition(" ")
                times, values = result["Timestamps"], result["Values"]
                for at, value in zip(times, values, strict=True):
                    row = found.setdefault((round(at.timestamp()), node), {})
                    row[metric] = float(value)
            if not reply.get("NextToken"):
                break
            token = {"NextToken": reply["NextToken"]}
        return [MetricRow(node, at, row) for (at, node), row in sorted(found.items())]


def queries(nodes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the queries for all metrics of nodes; their labels say what they are."""
    for number, node in enumerate(nodes):
        for index, (metric, statistic) in enumerate(METRICS.items()):
            yield {
                "Id": f"n{number}m{index}",
                "Label": f"{node} {metric}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": _NAMESPACE,
                        "MetricName": metric,
                        "Dimensions": [{"Name": "CacheClusterId", "Value": node}],
                    },
                    "Period": PERIOD_S,
                    "Stat": statistic,
                },
            }
