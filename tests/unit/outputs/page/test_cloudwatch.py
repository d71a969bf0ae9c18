"""What a page shows of CloudWatch, and what it says where there is nothing."""

from pathlib import Path
from typing import Any

import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.topology.node_metrics import MetricRow
from loadprobe.outputs.folder.documents import CLOUDWATCH
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.page.cloudwatch import load_metrics, metrics_document
from loadprobe.outputs.page.zero import Zero

S = 1_000_000_000
BEGAN_S = 1_800_000_000
AT_AWS = {"control": {"endpoint_url": None}}
LAG = "NetworkBandwidthOutAllowanceExceeded"


def zero(length_s: float) -> Zero:
    """Return the beginning of a run."""
    return Zero(ClockPair(0, BEGAN_S * S), 0, BEGAN_S * S, length_s * 1000)


def cpu(node: str, minute: int, value: float) -> MetricRow:
    """Return a value of a minute."""
    return MetricRow(node, BEGAN_S + 60 * minute, {"CPUUtilization": value})


def test_minutes_have_their_place(tmp_path: Path) -> None:
    """Nodes share points of time; one that is told in two lines is one."""
    folder = RunFolder(tmp_path, clock=ClockPair(0, 0))
    folder.take_metrics([cpu("a", 0, 7.0), cpu("b", 1, 9.0)])
    folder.take_metrics([MetricRow("a", BEGAN_S, {LAG: 0.0, "CurrConnections": 3.0})])
    problems: list[str] = []
    rows = load_metrics(folder.close(), problems)
    told = metrics_document(AT_AWS, rows, zero(200))
    assert (told["at"], problems) == ([30_000.0, 90_000.0], [])
    cpus, connections = told["metrics"]
    assert cpus["nodes"] == [
        {"node": "a", "values": [7.0, None]},
        {"node": "b", "values": [None, 9.0]},
    ]
    assert (connections["name"], connections["statistic"]) == (
        "CurrConnections",
        "Maximum",
    )
    assert "whole minutes" in told["notes"][0]


def test_of_a_long_run_the_most_of_some_minutes_stays() -> None:
    """No page has more points than it can show."""
    rows = [cpu("a", minute, float(minute % 7)) for minute in range(5000)]
    told = metrics_document(AT_AWS, rows, zero(5000 * 60))
    assert len(told["at"]) <= 1001
    assert max(told["metrics"][0]["nodes"][0]["values"]) == 6.0


@pytest.mark.parametrize(
    ("config", "rows", "said"),
    [
        ({}, [], []),
        ({"control": {"endpoint_url": "http://h"}}, [], ["not that of AWS"]),
        (AT_AWS, [], ["told nothing"]),
        (AT_AWS, [MetricRow("", 1, {}, problem="denied")], ["denied."]),
        ({**AT_AWS, "servers": {"cloudwatch": False}}, [], []),
    ],
)
def test_why_there_is_nothing(
    config: dict[str, Any], rows: list[MetricRow], said: list[str]
) -> None:
    """It is said where there could have been something."""
    told = metrics_document(config, rows, zero(200))
    assert told["metrics"] == []
    assert len(told["notes"]) == len(said)
    assert all(text in note for text, note in zip(said, told["notes"], strict=True))


def test_damage_is_named(tmp_path: Path) -> None:
    """The page goes without it."""
    (tmp_path / CLOUDWATCH).write_bytes(b'{"schema_version":1}\n{"node":1}\n')
    problems: list[str] = []
    assert load_metrics(tmp_path, problems) == []
    assert CLOUDWATCH in problems[0]
