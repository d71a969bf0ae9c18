"""What CloudWatch is asked for, and what becomes of what it tells."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.session import get_session
from botocore.validate import ParamValidator

from loadprobe.control.provider.metrics_watch import MetricsWatch
from loadprobe.control.provider.node_metrics import NodeMetrics, queries
from loadprobe.core.topology.node_metrics import METRICS, MetricRow

S = 1_000_000_000
BEGAN_S = 1_800_000_000 // 60 * 60
DENIED = ClientError(
    {"Error": {"Code": "AccessDenied", "Message": "not yours"}}, "GetMetricData"
)


class CloudWatch:
    """Has metrics of nodes, and tells them a page at a time.

    Args:
        known: (label, minute after the begin, value).
    """

    def __init__(self, *known: tuple[str, int, float]) -> None:
        self.known = list(known)
        self.fails: Exception | None = None
        self.asked: list[dict[str, Any]] = []

    async def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        """Tell one label in each page."""
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails
        labels = sorted({label for label, _, _ in self.known})
        at = int(asked.get("NextToken", "0"))
        if not labels:
            return {"MetricDataResults": []}
        told = [row for row in self.known if row[0] == labels[at]]
        reply: dict[str, Any] = {
            "MetricDataResults": [
                {
                    "Label": labels[at],
                    "Timestamps": [
                        datetime.fromtimestamp(BEGAN_S + 60 * minute, UTC)
                        for _, minute, _ in told
                    ],
                    "Values": [value for _, _, value in told],
                }
            ]
        }
        if at + 1 < len(labels):
            reply["NextToken"] = str(at + 1)
        return reply


class Watching:
    """A watch, and what it tells."""

    def __init__(self, cloudwatch: CloudWatch) -> None:
        self.rows: list[MetricRow] = []
        self.minute = 3
        self.watch = MetricsWatch(
            NodeMetrics(cloudwatch, "eu-west-1"),
            lambda: ["g-0001-001"],
            self._take,
            since_unix_ns=(BEGAN_S + 17) * S,
            wall_ns=lambda: (BEGAN_S + 60 * self.minute) * S,
        )

    def _take(self, rows: Sequence[MetricRow]) -> None:
        self.rows += rows


def test_what_is_asked_for_is_a_call_of_the_api() -> None:
    """Every node and metric has a query of its own, which botocore's model allows."""
    asked = list(queries(["g-0001-001", "g-0001-002"]))
    assert len({each["Id"] for each in asked}) == len(asked) == 2 * len(METRICS)
    assert asked[0]["MetricStat"]["Metric"]["Dimensions"] == [
        {"Name": "CacheClusterId", "Value": "g-0001-001"}
    ]
    model = get_session().get_service_model("cloudwatch")
    shape = model.operation_model("GetMetricData").input_shape
    assert shape is not None
    now = datetime.now(UTC)
    call = {"MetricDataQueries": asked, "StartTime": now, "EndTime": now}
    report = ParamValidator().validate(call, shape)
    assert not report.has_errors(), report.generate_report()


async def test_pages_become_rows_of_minutes() -> None:
    """What pages tell of one node and minute is one row."""
    cloudwatch = CloudWatch(
        ("g-0001-001 ReplicationLag", 1, 0.5),
        ("g-0001-001 CurrConnections", 1, 12),
        ("g-0001-001 CurrConnections", 2, 14),
    )
    seen = Watching(cloudwatch)
    await seen.watch.look()
    assert seen.rows == [
        MetricRow(
            "g-0001-001",
            BEGAN_S + 60,
            {"CurrConnections": 12.0, "ReplicationLag": 0.5},
        ),
        MetricRow("g-0001-001", BEGAN_S + 120, {"CurrConnections": 14.0}),
    ]
    assert cloudwatch.asked[0]["StartTime"].timestamp() == BEGAN_S


async def test_what_comes_later_is_told_once() -> None:
    """Minutes are asked for again; only what is new is told."""
    cloudwatch = CloudWatch(("g-0001-001 CurrConnections", 1, 12))
    seen = Watching(cloudwatch)
    await seen.watch.look()
    cloudwatch.known.append(("g-0001-001 ReplicationLag", 1, 2))
    seen.minute = 8
    await seen.watch.look()
    await seen.watch.look_last()
    assert [row.values for row in seen.rows] == [
        {"CurrConnections": 12.0},
        {"ReplicationLag": 2.0},
    ]
    assert cloudwatch.asked[-1]["StartTime"].timestamp() == BEGAN_S


@pytest.mark.parametrize(
    ("fails", "said"), [(DENIED, "not yours"), (NoCredentialsError(), "credentials")]
)
async def test_a_refusal_is_a_sentence(fails: Exception, said: str) -> None:
    """It is said once, ends nothing, and goes when CloudWatch tells again."""
    cloudwatch = CloudWatch(("g-0001-001 CurrConnections", 1, 12))
    cloudwatch.fails = fails
    seen = Watching(cloudwatch)
    for _ in range(3):
        await seen.watch.look()
    assert said in str(seen.watch.problem)
    (row,) = seen.rows
    assert row.problem == seen.watch.problem
    cloudwatch.fails = None
    await seen.watch.look()
    assert seen.watch.problem is None
    assert seen.rows[-1].values == {"CurrConnections": 12.0}
