"""Runs that can be reported."""

import io
import re
from pathlib import Path

from rich.console import Console, RenderableType

from loadprobe.core.judging.cells import BlindSpan, FilmChunk
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.quantities import Bounds, DowntimeMs, Quantiles
from loadprobe.core.verdict.summary import (
    IncidentSummary,
    LaneSummary,
    ObserverSummary,
    ScopeDark,
    ScopeSummary,
    SloResult,
    Summary,
)
from loadprobe.outputs.folder.documents import (
    LaneSettings,
    Moment,
    RunInfo,
    event_line,
)
from loadprobe.outputs.folder.reader import PastEvent, RunData
from loadprobe.outputs.report.brief import render_brief
from loadprobe.outputs.report.report import render_text
from tests.support.events import phase, provider_told
from tests.support.paths import TESTS

GOLDEN = TESTS / "golden"
S = 1_000_000_000
MS = 1_000_000
START = Moment(1_767_323_045 * S, 100 * S)  # 2026-01-02 03:04:05 UTC
WALL = START.wall_ns - START.mono_ns
ZERO = Bounds(0.0, 0.0, 0.0)
DARK = Bounds(2104.0, 2101.0, 2107.0)
QUANTILES = Quantiles(0.41, 0.62, 1.2, 3.5, 2345.678, 60_000)


def make_scope(lane: str, shard: str, *, failed: int) -> ScopeSummary:
    """Return a scope with 20,000 arrivals of which some were refused or late."""
    late = min(failed, 7)
    return ScopeSummary(
        lane=lane,
        shard=shard,
        op="write",
        arrivals=20_000,
        outcomes={
            "served": 20_000 - failed,
            "late": late,
            "refused": failed - late,
            "unknown": 0,
            "unsent": 0,
            "wrong": 0,
        },
        classes={"clusterdown": failed - late, "late": late} if failed else {},
        availability=1 - failed / 20_000,
        outages=1 if failed else 0,
        dark_ms=DARK if failed else ZERO,
        client_seconds_lost=failed * 0.05,
        unseen_arrivals=0,
    )


def make_lane(name: str, *, shards: dict[str, Bounds]) -> LaneSummary:
    """Return a lane with the given dark time per shard."""
    any_shard = max(shards.values(), key=lambda bounds: bounds.upper)
    return LaneSummary(
        name=name,
        tls=name == "tls",
        arrivals=60_000,
        outcomes={},
        classes={},
        availability=0.99,
        response_ms={"write": QUANTILES},
        service_ms={"write": QUANTILES},
        lateness_ms=QUANTILES,
        downtime_ms=DowntimeMs(any_shard, ZERO, shards),
        client_seconds_lost=20.0,
        blind_ms=0.0,
        unseen_arrivals=0,
    )


def make_run(*, dark: bool = True) -> RunData:
    """Return a run on two lanes of three shards, in which shard 0002 failed over."""
    shards = {"0001": ZERO, "0002": DARK if dark else ZERO, "0003": ZERO}
    lanes = [make_lane(name, shards=shards) for name in ("tcp", "tls")]
    begin = START.mono_ns + 10 * S
    end = begin + 2104 * MS
    incident = IncidentSummary(
        number=1,
        start_unix_ns=WALL + begin,
        end_unix_ns=WALL + end,
        outages=2,
        is_probe_only=False,
        blind_ms=0.0,
        causes={"shard": 2},
        downtime_ms={},
        scopes=[ScopeDark(lane, "0002", "write", DARK) for lane in ("tcp", "tls")],
        where="shard 0002, both lanes",
        why="shard",
        steps=["failover"],
        dark_ms=DARK,
    )
    outages = [
        OutageRow(
            lane=lane,
            shard="0002",
            op="write",
            start_unix_ns=WALL + begin + offset,
            end_unix_ns=WALL + end + offset,
            duration_ms=2104.0,
            lower_ms=2101.0,
            upper_ms=2107.0,
            unseen_ms=0.0,
            probe_gap_ms=3.0,
            failed=350,
            classes={"clusterdown": 343, "late": 7},
            outcomes={"refused": 343, "late": 7},
            attribution="shard",
            evidence="other shards were served",
            incident=1,
            open_start=False,
            open_end=False,
        )
        for lane, offset in (("tcp", 0), ("tls", 1_500_000))
    ]
    return RunData(
        path=Path("runs/20260102T030405Z-demo"),
        info=RunInfo(
            name="demo",
            target="127.0.0.1:7000",
            versions={"loadprobe": "0.1.0"},
            host={"name": "host", "cpus": 2},
            config={},
            config_digest="sha256:00",
            lanes=(LaneSettings("tcp", "wire", False, "open", 1000.0, 100, 1, 250),),
            scenario="failover",
            start=START,
            end=Moment(START.wall_ns + 60 * S, START.mono_ns + 60 * S),
            problems=("writing series.ndjson failed once",),
        ),
        summary=Summary(
            schema_version=1,
            state="outage" if dark else "clean",
            headline="1 incident: shard 0002, both lanes" if dark else "",
            verdict=[
                (
                    "shard 0002 was dark on lane tcp for 2104 ms [2101, 2107], "
                    "on lane tls for 2104 ms [2101, 2107]; the other shards 0 ms"
                ),
            ]
            if dark
            else ["no arrival failed in 60.0 s"],
            start_unix_ns=START.wall_ns,
            end_unix_ns=START.wall_ns + 60 * S,
            duration_s=60.0,
            downtime_ms=DowntimeMs(DARK if dark else ZERO, ZERO, shards),
            client_seconds_lost=35.0 if dark else 0.0,
            lanes=lanes,
            scopes=[
                make_scope(lane, shard, failed=350 if dark and shard == "0002" else 0)
                for lane in ("tcp", "tls")
                for shard in shards
            ],
            incidents=[incident] if dark else [],
            observer=ObserverSummary(
                max_loop_lag_ms=4.25,
                max_gc_pause_ms=1.5,
                late_sends=12,
                skipped=0,
                cpu_seconds=21.0,
                lateness_ms=QUANTILES,
                blind_ms=0.0,
                unseen_arrivals=0,
                dropped_outages=0,
            ),
            slo=[SloResult("max_outage_ms", 1000.0, 2104.0, is_met=False)]
            if dark
            else [],
            lost_writes=0,
            stale_reads=None,
            wrong=0,
        ),
        outages=tuple(outages) if dark else (),
        events=make_events(begin) if dark else (),
        film=make_film(begin, end) if dark else (),
    )


def make_events(begin_ns: int) -> tuple[PastEvent, ...]:
    """Return the phases of a failover that was called 180 ms before the outage."""
    noticed_ns = begin_ns + 4_000 * MS
    completed = provider_told(
        noticed_ns,
        "Failover to replica node demo-0002-002 completed",
        date_unix_ns=WALL + begin_ns + 2_600 * MS,
        seen_unix_ns=WALL + noticed_ns,
        meaning="failover_completed",
    )
    events = (
        phase(begin_ns - 180 * MS, "api_call"),
        phase(begin_ns - 20 * MS, "accepted"),
        phase(begin_ns + 2_050 * MS, "promoted"),
        completed,
        phase(begin_ns + 6_400 * MS, "settled"),
    )
    return tuple(PastEvent.of(event_line(event, START.clock)) for event in events)


def make_film(begin_ns: int, end_ns: int) -> tuple[FilmChunk | BlindSpan, ...]:
    """Return cells of every 3rd ms: dark inside the outage, with grey edges."""
    first_ms, length_ms = begin_ns // MS - 999, 4002
    count = length_ms // 3
    dark = [begin_ns <= (first_ms + 3 * n) * MS < end_ns for n in range(count)]
    steps = [0] + [3] * (count - 1)
    chunks = [
        FilmChunk(
            lane,
            "0002",
            1,
            first_ms,
            steps,
            served=[0 if down else 1 for down in dark],
            refused=[1 if down else 0 for down in dark],
        )
        for lane in ("tcp", "tls")
    ]
    lit = [
        FilmChunk(lane, shard, 1, first_ms, steps, served=[1] * count)
        for lane in ("tcp", "tls")
        for shard in ("0001", "0003")
    ]
    stall = BlindSpan("tls", begin_ns + 2300 * MS, begin_ns + 2400 * MS)
    return (*chunks, *lit, stall)


PATHS = re.compile("Run folder: |Page: |All the rest: ")
"""Lines of a report that are as long as the path in them, to be copied."""


def as_text(run: RunData, *, width: int) -> str:
    """Return the whole report as printed on a terminal without colours."""
    return _printed(render_text(run), width)


def as_brief(run: RunData, *, width: int) -> str:
    """Return the report of one screen as printed on a terminal without colours."""
    return _printed(render_brief(run), width)


def _printed(report: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(report, crop=False)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
