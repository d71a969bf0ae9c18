"""Who wants to know of maintenance is told when it begins, and when it is over."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from loadprobe.clock import ClockPair
from loadprobe.config.keys import Config, Lane, Output
from loadprobe.config.webhooks import Webhook
from loadprobe.core.events import MaintenanceBegun, MaintenanceOver
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.verdict.notices import Notice
from loadprobe.core.verdict.occasions import OccasionKind
from loadprobe.outputs.webhooks.formats import as_pagerduty, as_slack
from loadprobe.run.telling import Telling

S = 1_000_000_000
CLOCK = ClockPair(0, 1_700_000_000 * S)
BEGUN = MaintenanceBegun(5 * S, 3, "status modifying", CLOCK.to_wall(4 * S))
OVER = MaintenanceOver(
    60 * S,
    number=3,
    reason="status modifying",
    start_unix_ns=CLOCK.to_wall(3 * S),
    end_unix_ns=CLOCK.to_wall(50 * S),
    signs=7,
    outages=2,
    dark_ms=812.0,
    lower_ms=800.0,
    upper_ms=830.0,
    verdict="shard 0002 was dark for 812 ms [800, 830]",
)


class Unmeasured:
    """Metrics that nobody looks at."""

    def set(self, *_: str, value: float) -> None:
        """Take a figure."""

    def add(self, *_: str, by: float = 1) -> None:
        """Take a count."""


def told(folder: Path, **keys: Any) -> list[dict[str, Any]]:
    """Return the notices that wait for a receiver after a maintenance."""
    webhook = Webhook("chat", "json", url="http://127.0.0.1:1/", **keys)
    config = Config(
        name="night",
        lanes=(Lane("tcp"),),
        webhooks=(webhook,),
        output=Output(dir=str(folder)),
    )

    async def run() -> None:
        telling = Telling(
            config,
            Aggregate([LaneInfo("tcp", False, (0,), 250_000_000)]),
            CLOCK,
            Unmeasured(),
            target=lambda: "db.example.com",
            blame=lambda _outages: [],
            planned=list,
        )
        telling.take_event(BEGUN)
        telling.take_event(OVER)
        telling.leave()

    asyncio.run(run())
    (file,) = folder.glob(".webhooks/night/chat.json")
    waiting: list[dict[str, Any]] = json.loads(file.read_bytes())["waiting"]
    return waiting


def test_an_opening_and_a_closing(tmp_path: Path) -> None:
    """Of one incident, whose name has its number, with the verdict at the end."""
    begun, over = told(tmp_path, tell_maintenance=True)
    assert begun["incident"] == over["incident"]
    assert begun["incident"].startswith("night-maintenance-3-")
    assert [begun["kind"], over["kind"]] == ["opened", "closed"]
    assert begun["title"] == "Maintenance has begun: db.example.com"
    assert begun["text"] == ["shown by status modifying; since 22:13:24.000 UTC"]
    assert over["title"] == "Maintenance is over: db.example.com"
    assert over["text"] == ["shard 0002 was dark for 812 ms [800, 830]"]
    assert over["dark_ms"] == {
        "estimate": 812.0,
        "lower": 800.0,
        "upper": 830.0,
        "unseen": 0.0,
    }
    assert begun["is_maintenance"]
    assert (begun["end_unix_ns"], over["outages"]) == (None, 2)


def test_nobody_is_told_who_did_not_ask(tmp_path: Path) -> None:
    """Maintenance is no incident by itself."""
    assert told(tmp_path) == []


def test_it_is_no_alarm(tmp_path: Path) -> None:
    """It is shown as what is announced, and resolved when it is over."""
    begun = _notice(told(tmp_path, tell_maintenance=True)[0])
    event = as_pagerduty(begun, routing_key="k" * 32)
    assert event["payload"]["severity"] == "info"
    assert event["payload"]["class"] == "maintenance"
    (attachment,) = as_slack(begun)["attachments"]
    assert attachment["color"] == "#e0752d"


def _notice(document: dict[str, Any]) -> Notice:
    notice = msgspec.convert(document, Notice)
    assert notice.kind is OccasionKind.OPENED
    return notice
