"""Who wants to know of maintenance is told when it begins, and when it is over."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from loadprobe.config.keys import Config, Lane, Output
from loadprobe.config.webhooks import Webhook
from loadprobe.core.events import MaintenanceBegun, MaintenanceOver
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.before import Before
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.notices import Notice
from loadprobe.core.verdict.occasions import OccasionKind
from loadprobe.outputs.webhooks.formats import as_pagerduty, as_slack
from loadprobe.run.telling import Telling
from tests.support.aggregating import MS, ONE, begun
from tests.support.told import CLOCK, S, Told, Unmeasured

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


async def test_a_maintenance_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Every run begins to count at 1; one that goes on keeps to the name."""
    later = msgspec.structs.replace(BEGUN, start_unix_ns=CLOCK.to_wall(3600 * S))
    names: list[str] = []
    for folder, begun_event in (("a", BEGUN), ("b", later)):
        run = Told(tmp_path / folder, begun(ONE))
        hook = msgspec.structs.replace(run.webhook, tell_maintenance=True)
        await run.telling.use([hook])
        run.telling.take_event(begun_event)
        (first,) = run.waiting()
        again = Told(tmp_path / folder, begun(ONE))
        again.telling.go_on([begun_event])
        await again.telling.use([hook])
        again.telling.take_event(OVER)
        last = again.waiting()[-1]
        assert (first.incident, first.number) == (last.incident, last.number - 1)
        names.append(first.incident)
    assert len(set(names)) == 2


async def test_a_receiver_that_is_changed_is_told_the_same(tmp_path: Path) -> None:
    """A reload in the midst of an incident counts nothing twice."""
    run = Told(tmp_path, begun(ONE))
    run.until(1000)
    run.until(5000, dark=True)
    await run.telling.use([msgspec.structs.replace(run.webhook, pause_s=86_400)])
    run.until(9000, dark=True)
    run.until(12_000)
    first, *_, last = run.waiting()
    assert (first.incident, first.kind) == (last.incident, OccasionKind.OPENED)
    assert (last.kind, last.outages) == (OccasionKind.CLOSED, 1)
    assert last.dark_ms.lower <= 8000 <= last.dark_ms.upper
    assert "earlier run" not in " ".join(last.text)


async def test_a_run_that_goes_on_tells_when_it_was_over(tmp_path: Path) -> None:
    """Not when its process was gone, which was later."""
    run = Told(tmp_path, begun(ONE))
    run.until(1000)
    run.until(3000, dark=True)
    run.until(3750)
    first = run.waiting()
    assert [notice.kind for notice in first] == [OccasionKind.OPENED]
    aggregate = Aggregate([ONE])
    aggregate.go_on(
        Before(
            until_ns=run.aggregate.sealed_until_ns,
            lane_totals=run.aggregate.lane_totals,
            scope_totals=run.aggregate.scope_totals,
            outages=run.aggregate.outages,
        )
    )
    aggregate.start_process(0, 3750 * MS)
    again = Told(tmp_path, aggregate, 3750)
    again.telling.go_on([])
    again.until(6000)
    last = again.waiting()[-1]
    assert (last.kind, last.incident) == (OccasionKind.CLOSED, first[0].incident)
    assert last.end_unix_ns is not None
    assert abs(last.end_unix_ns - CLOCK.to_wall(3 * S)) < 20 * MS


async def test_nothing_waits_for_a_receiver_that_is_not_there_any_more(
    tmp_path: Path,
) -> None:
    """What is on disk for it is no notice that this run could send: no alarm is due."""
    run = Told(tmp_path, begun(ONE))
    run.until(1000)
    run.until(2000, dark=True)
    shown = "webhook_queue_notices", "chat"
    assert run.metrics.shown[shown] == 1
    await run.telling.use([])
    assert run.metrics.shown[shown] == 0
    await run.telling.use([run.webhook])
    assert run.metrics.shown[shown] == 1


async def test_who_was_told_of_what_turns_out_to_be_planned_is_told_its_end(
    tmp_path: Path,
) -> None:
    """A plan that is announced late ends what was told, though it is dark by plan."""
    run = Told(tmp_path, begun(ONE))
    run.until(1000)
    run.until(4000, dark=True)
    assert run.offered == 1
    run.planned.append(Planned("tcp", 900 * MS, 60_000 * MS))
    run.until(10_000, dark=True)
    first, last = run.waiting()
    assert (first.kind, last.kind) == (OccasionKind.OPENED, OccasionKind.CLOSED)
    assert first.incident == last.incident
    closing = as_pagerduty(last, routing_key="k" * 32)
    assert closing["event_action"] == "resolve"
    assert closing["dedup_key"] == as_pagerduty(first, routing_key="k")["dedup_key"]


async def test_who_does_not_want_plans_any_more_is_told_the_end(tmp_path: Path) -> None:
    """Of what was told before the reload, and of no plan after it."""
    run = Told(tmp_path, begun(ONE))
    run.planned.append(Planned("tcp", 900 * MS, 60_000 * MS))
    await run.telling.use([msgspec.structs.replace(run.webhook, tell_planned=True)])
    run.until(1000)
    run.until(4000, dark=True)
    assert run.offered == 1
    await run.telling.use([run.webhook])
    run.until(6000, dark=True)
    run.until(10_000)
    run.until(15_000, dark=True)
    run.until(20_000)
    kinds = [(notice.kind, notice.is_planned) for notice in run.waiting()]
    assert kinds == [(OccasionKind.OPENED, True), (OccasionKind.CLOSED, True)]


async def test_who_does_not_want_maintenance_any_more_is_told_the_end(
    tmp_path: Path,
) -> None:
    """Of the one that it was told of."""
    run = Told(tmp_path, begun(ONE))
    await run.telling.use([msgspec.structs.replace(run.webhook, tell_maintenance=True)])
    run.telling.take_event(BEGUN)
    await run.telling.use([run.webhook])
    run.telling.take_event(OVER)
    run.telling.take_event(msgspec.structs.replace(BEGUN, number=4))
    first, last = run.waiting()
    assert (first.kind, last.kind) == (OccasionKind.OPENED, OccasionKind.CLOSED)
