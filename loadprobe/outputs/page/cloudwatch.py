"""What a page shows of CloudWatch: metrics of the group's nodes, minute by minute."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadprobe.clock import NS_PER_S
from loadprobe.core.topology.node_metrics import METRICS, PERIOD_S, MetricRow
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import CLOUDWATCH
from loadprobe.outputs.folder.files import is_begun, read_lines
from loadprobe.outputs.folder.reader import load_segments
from loadprobe.outputs.page.zero import Zero

MOST_POINTS = 1_000
"""Of a metric of a node; of a longer run a point is the most of some minutes."""

MOST_NODES = 30

_ONLY_IF_ABOVE_ZERO = (
    "NetworkBandwidthInAllowanceExceeded",
    "NetworkBandwidthOutAllowanceExceeded",
)


def load_metrics(path: Path, problems: list[str]) -> list[MetricRow]:
    """Return what CloudWatch told, in the order noted; what cannot be read is named.

    Args:
        path: the run folder.
        problems: sentences about what cannot be read are added to it.
    """
    try:
        segments = load_segments(path)
    except UsageError:
        return []  # which is told where the seconds are read
    found: list[MetricRow] = []
    for segment in segments:
        file = segment.path / CLOUDWATCH
        try:
            if is_begun(file, set()):
                found += read_lines(file, MetricRow)
        except UsageError as exc:
            problems.append(str(exc))
    return found


def metrics_document(
    config: Mapping[str, Any], rows: Sequence[MetricRow], zero: Zero
) -> dict[str, Any]:
    """Return metrics by node, in common points of time.

    Args:
        config: of the run, as plain data.
        rows: what CloudWatch told.
        zero: from which the page counts.

    Returns:
        ``at``: the points, in ms; ``metrics``: of each its ``name``, ``statistic`` and
        ``nodes`` with their ``values``, null where nothing was told; ``notes``.
    """
    told = _told(rows, zero)
    points = sorted({at for values in told.values() for at in values})
    nodes = sorted({node for _, node in told})
    metrics = [
        {
            "name": metric,
            "statistic": statistic,
            "nodes": [
                {
                    "node": node,
                    "values": [told[metric, node].get(at) for at in points],
                }
                for node in nodes[:MOST_NODES]
                if (metric, node) in told
            ],
        }
        for metric, statistic in METRICS.items()
        if any(_is_shown(metric, told.get((metric, node), {})) for node in nodes)
    ]
    return {
        "at": points,
        "metrics": metrics,
        "notes": _notes(config, rows, is_told=bool(points)),
    }


def _told(
    rows: Sequence[MetricRow], zero: Zero
) -> dict[tuple[str, str], dict[float, float]]:
    """Return (metric, node) -> ms -> value; a point is in the middle of its minutes."""
    minutes = max(1.0, zero.length_ms / (PERIOD_S * 1000))
    length_s = -(-int(minutes) // MOST_POINTS) * PERIOD_S
    found: dict[tuple[str, str], dict[float, float]] = {}
    for row in rows:
        begin_s = row.unix_s // length_s * length_s
        middle_ms = zero.ms(begin_s * NS_PER_S) + length_s * 500
        at = min(max(0.0, middle_ms), zero.length_ms)
        for metric, value in row.values.items():
            values = found.setdefault((metric, row.node), {})
            values[at] = max(values.get(at, value), value)
    return found


def _is_shown(metric: str, values: Mapping[float, float]) -> bool:
    if metric in _ONLY_IF_ABOVE_ZERO:
        return any(values.values())
    return bool(values)


def _notes(
    config: Mapping[str, Any], rows: Sequence[MetricRow], *, is_told: bool
) -> list[str]:
    control = config.get("control")
    servers = config.get("servers")
    is_off = isinstance(servers, Mapping) and servers.get("cloudwatch") is False
    problems = [row.problem for row in rows if row.problem]
    if not isinstance(control, Mapping) or is_off:
        return []
    if control.get("endpoint_url") is not None:
        return ["CloudWatch was not asked: the API of [control] is not that of AWS."]
    if problems:
        return [f"{problems[-1]}."]
    if not is_told:
        return ["CloudWatch told nothing: its values come a minute or more later."]
    return ["CloudWatch tells of whole minutes; those of the last ones come later."]
