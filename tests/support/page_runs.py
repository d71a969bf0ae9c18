"""Runs to be shown as pages: long ones with their files, and hostile ones."""

from dataclasses import replace
from pathlib import Path

import msgspec

from loadprobe.core.events import Event, MarkMade, UnknownEvent
from loadprobe.core.judging.cells import FilmChunk
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.quantities import Bounds, DowntimeMs
from loadprobe.core.verdict.summary import IncidentSummary
from loadprobe.outputs.folder.documents import (
    HISTOGRAMS,
    SERIES,
    HistogramRow,
    Moment,
    SeriesRow,
    encode_json,
    event_line,
)
from loadprobe.outputs.folder.reader import PastEvent, RunData
from tests.support.reports import MS, START, S, make_run, make_scope

HOSTILE = (
    "<script>document.title='taken'</script></script><img src=x onerror=a()>\u202e"
)
"""A name that would do something if it were ever markup."""

_ZERO = Bounds(0.0, 0.0, 0.0)
_AROUND_MS = 1000
_STEP_MS = 6


def planted_run(
    path: Path, *, length_s: int, dark_at_ms: int, dark_ms: int = 1
) -> RunData:
    """Return a run on one scope that was dark once, with a second of film around.

    Args:
        path: its folder, in which the seconds are written.
        length_s: of the run.
        dark_at_ms: from its beginning on.
        dark_ms: so many milliseconds, each with one failed arrival.
    """
    first = dark_at_ms - _AROUND_MS
    count = 2 * _AROUND_MS + dark_ms
    refused = [
        int(dark_at_ms <= first + n < dark_at_ms + dark_ms) for n in range(count)
    ]
    chunk = FilmChunk(
        "tcp",
        "0002",
        1,
        START.mono_ns // MS + first,
        [0, *[1] * (count - 1)],
        served=[1 - n for n in refused],
        refused=refused,
    )
    run = _lasting(make_run(), path, length_s)
    incident = _incident(1, dark_at_ms, dark_ms)
    dark = DowntimeMs(incident.dark_ms, _ZERO, {"0002": incident.dark_ms})
    lane = msgspec.structs.replace(run.summary.lanes[0], name="tcp", downtime_ms=dark)
    summary = msgspec.structs.replace(
        run.summary,
        lanes=[lane],
        scopes=[make_scope("tcp", "0002", failed=dark_ms)],
        incidents=[incident],
        downtime_ms=dark,
    )
    _write_counts(path, length_s, ["tcp"], ["0002"])
    return replace(
        run,
        summary=summary,
        outages=(_outage("tcp", "0002", incident),),
        events=(),
        film=(chunk,),
    )


def long_run(path: Path, *, length_s: int, incidents: int, dark_ms: int) -> RunData:
    """Return a run on two lanes of three shards, reads and writes, with its seconds.

    Of each incident one shard is dark on both lanes, and the film of all has a cell
    every 6 ms from a second before to a second after.

    Args:
        path: its folder, in which the seconds are written.
        length_s: of the run.
        incidents: evenly spread.
        dark_ms: of each.
    """
    run = _lasting(make_run(), path, length_s)
    lanes, shards = ["tcp", "tls"], ["0001", "0002", "0003"]
    told: list[IncidentSummary] = []
    outages: list[OutageRow] = []
    film: list[FilmChunk] = []
    for n in range(incidents):
        at_ms = (n + 1) * length_s * 1000 // (incidents + 1)
        incident = _incident(n + 1, at_ms, dark_ms)
        told.append(incident)
        outages += [_outage(lane, "0002", incident) for lane in lanes]
        film += [
            _filmed(lane, shard, op, at_ms, dark_ms if shard == "0002" else 0)
            for lane in lanes
            for shard in shards
            for op in (0, 1)
        ]
    scopes = [
        msgspec.structs.replace(make_scope(lane, shard, failed=0), op=op)
        for lane in lanes
        for shard in shards
        for op in ("read", "write")
    ]
    summary = msgspec.structs.replace(run.summary, scopes=scopes, incidents=told)
    _write_counts(path, length_s, lanes, shards)
    _write_latencies(path, length_s, lanes)
    return replace(run, summary=summary, outages=tuple(outages), film=tuple(film))


def empty_run(path: Path) -> RunData:
    """Return a run without an arrival, lane or event."""
    run = _lasting(make_run(dark=False), path, 3)
    summary = msgspec.structs.replace(run.summary, lanes=[], scopes=[], verdict=[])
    return replace(run, summary=summary)


def hostile_run(path: Path) -> RunData:
    """Return a run that has markup wherever it has text."""
    run = _lasting(make_run(), path, 60)
    (incident,) = run.summary.incidents
    lane = run.summary.lanes[0]
    shards = {HOSTILE: next(iter(lane.downtime_ms.shards.values())), "__proto__": _ZERO}
    dark = DowntimeMs(incident.dark_ms, _ZERO, shards)
    summary = msgspec.structs.replace(
        run.summary,
        headline=HOSTILE,
        verdict=[HOSTILE],
        lanes=[msgspec.structs.replace(lane, name=HOSTILE, downtime_ms=dark)],
        scopes=[
            msgspec.structs.replace(
                make_scope(HOSTILE, HOSTILE, failed=350),
                classes={HOSTILE: 3, "__proto__": 2, "constructor": 1},
            )
        ],
        incidents=[msgspec.structs.replace(incident, where=HOSTILE, why=HOSTILE)],
    )
    outages = [
        msgspec.structs.replace(
            row, lane=HOSTILE, shard=HOSTILE, evidence=HOSTILE, classes={HOSTILE: 1}
        )
        for row in run.outages
    ]
    events: list[Event] = [
        MarkMade(START.mono_ns + S, HOSTILE, HOSTILE),
        UnknownEvent(START.mono_ns + 2 * S, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
    ]
    info = msgspec.structs.replace(
        run.info,
        name=HOSTILE,
        target=HOSTILE,
        versions={HOSTILE: HOSTILE},
        config={HOSTILE: {"a": [HOSTILE, None]}},
        scenario=HOSTILE,
        topology_start={HOSTILE: {"ranges": [[0, 1]], "primary": HOSTILE}},
        problems=(HOSTILE,),
    )
    film = tuple(
        msgspec.structs.replace(chunk, lane=HOSTILE, shard=HOSTILE)
        for chunk in run.film
        if isinstance(chunk, FilmChunk)
    )
    return replace(
        run,
        info=info,
        summary=summary,
        outages=tuple(outages),
        events=tuple(PastEvent.of(event_line(e, START.clock)) for e in events),
        film=film,
        missing=(HOSTILE,),
    )


def _lasting(run: RunData, path: Path, length_s: int) -> RunData:
    path.mkdir(parents=True, exist_ok=True)
    end = Moment(START.wall_ns + length_s * S, START.mono_ns + length_s * S)
    summary = msgspec.structs.replace(
        run.summary,
        start_unix_ns=START.wall_ns,
        end_unix_ns=end.wall_ns,
        duration_s=float(length_s),
    )
    info = msgspec.structs.replace(run.info, end=end)
    return replace(run, path=path, info=info, summary=summary)


def _incident(number: int, at_ms: int, dark_ms: int) -> IncidentSummary:
    (one,) = make_run().summary.incidents
    return msgspec.structs.replace(
        one,
        number=number,
        start_unix_ns=START.wall_ns + at_ms * MS,
        end_unix_ns=START.wall_ns + (at_ms + dark_ms) * MS,
        dark_ms=Bounds(float(dark_ms), float(dark_ms), dark_ms + 2.0),
        where="shard 0002",
    )


def _outage(lane: str, shard: str, incident: IncidentSummary) -> OutageRow:
    row = make_run().outages[0]
    return msgspec.structs.replace(
        row,
        lane=lane,
        shard=shard,
        start_unix_ns=incident.start_unix_ns,
        end_unix_ns=incident.end_unix_ns,
        duration_ms=incident.dark_ms.estimate,
        lower_ms=incident.dark_ms.lower,
        upper_ms=incident.dark_ms.upper,
        incident=incident.number,
    )


def _filmed(lane: str, shard: str, op: int, at_ms: int, dark_ms: int) -> FilmChunk:
    first = at_ms - _AROUND_MS
    times = range(first, at_ms + dark_ms + _AROUND_MS, _STEP_MS)
    refused = [int(at_ms <= ms < at_ms + dark_ms) for ms in times]
    return FilmChunk(
        lane,
        shard,
        op,
        START.mono_ns // MS + first,
        # Uneven, as arrivals are: what is even is packed to nothing.
        [0, *(_STEP_MS + (n * 7919 + op) % 5 - 2 for n in range(1, len(times)))],
        served=[1 - n for n in refused],
        refused=refused,
    )


def _write_counts(
    path: Path, length_s: int, lanes: list[str], shards: list[str]
) -> None:
    first = START.mono_ns // S
    with (path / SERIES).open("wb") as file:
        file.write(b'{"schema_version":1,"file":"series"}\n')
        for second in range(first, first + length_s):
            for lane in lanes:
                for shard in shards:
                    for op in ("read", "write"):
                        counts = (100, 0, 0, 0, 0, 0, 100, 0, 0)
                        row = SeriesRow(lane, shard, op, second, *counts)
                        file.write(encode_json(row) + b"\n")


def _write_latencies(path: Path, length_s: int, lanes: list[str]) -> None:
    first = START.mono_ns // S
    histogram = Histogram()
    histogram.record_many(list(range(200_000, 900_000, 7_000)))
    sparse = histogram.to_sparse()
    with (path / HISTOGRAMS).open("wb") as file:
        file.write(b'{"schema_version":1,"file":"histograms"}\n')
        for second in range(first, first + length_s):
            for lane in lanes:
                for kind in ("response", "service"):
                    latencies = HistogramRow(lane, "write", second, kind, sparse)
                    file.write(encode_json(latencies) + b"\n")
