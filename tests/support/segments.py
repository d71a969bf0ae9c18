"""Segments of a run as they are written, and what they say whatever their form."""

from collections import Counter
from pathlib import Path

import msgspec

from loadprobe.clock import ClockPair
from loadprobe.core.events import MarkMade
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.latency import SecondHistograms
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.server_side import ServerRow, added
from loadprobe.outputs.folder.documents import (
    HISTOGRAMS,
    SERIES,
    SERVERS,
    HistogramRow,
    SeriesRow,
)
from loadprobe.outputs.folder.files import read_lines
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.reader import load_beside
from loadprobe.outputs.folder.sealed_lines import SealedLine

S = 1_000_000_000
SCOPES = [Scope(lane, "0001", OpKind.READ) for lane in ("tcp", "tls")]


def write_segment(path: Path, *, seconds: int = 200, first: int = 1000) -> Path:
    """Write a folder as a run does, of some seconds; return it."""
    path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path, clock=ClockPair(0, 0))
    for second in range(first, first + seconds):
        folder.take_sealed(_sealed(second))
        folder.add_sealed(SealedLine(until_ns=second * S))
        folder.take_servers(_servers(second))
        if second % 50 == 0:
            folder.take_event(MarkMade(second * S, f"it is {second}", "me"))
    folder.close()
    return path


def _sealed(second: int) -> Sealed:
    rows, histograms = [], []
    for number, scope in enumerate(SCOPES):
        row = SecondCounts(scope, second, observed_ms=100 + number)
        row.counts[Outcome.SERVED] = 100 + second % 7
        rows.append(row)
        latencies = SecondHistograms(scope.lane, scope.op, second)
        for at in range(20):
            latencies.response.record(100_000 + 1_000 * ((second * 31 + at) % 97))
            latencies.service.record(90_000 + 1_000 * ((second * 17 + at) % 97))
        histograms.append(latencies)
    film: list[BlindSpan] = []
    if second % 40 == 0:
        film = [BlindSpan("tcp", second * S, second * S + 1)]
    return Sealed(second * S, seconds=rows, histograms=histograms, film=[*film])


def _servers(second: int) -> list[ServerRow]:
    """Return what a primary and its replica told; they change their roles once."""
    roles = ("primary", "replica") if second % 1000 < 90 else ("replica", "primary")
    return [
        ServerRow(
            node=f"h:{port}",
            shard="0001",
            role=role,
            second=second,
            span_ms=1000,
            ops=100 + second % 7,
            cpu_ms=3,
            clients=20 + second % 11,
            memory_bytes=1_000_000 + second % 13,
            lag_bytes=None if role == "primary" else second % 5,
            unlinked_ms=0,
        )
        for port, role in enumerate(roles, start=1)
    ]


class Said:
    """What a segment says, added up: it is the same in every form.

    Args:
        path: its folder.
    """

    def __init__(self, path: Path) -> None:
        torn: set[str] = set()
        beside = load_beside(path, torn)
        self.torn = torn
        self.events = [past.line for past in beside.events]
        self.film = list(beside.film)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.latencies: dict[tuple[str, str], Histogram] = {}
        self.servers: dict[tuple[str, str], ServerRow] = {}
        for told in read_lines(path / SERVERS, ServerRow):
            key = told.node, told.role
            known = self.servers.get(key)
            self.servers[key] = told if known is None else added(known, told)
        for key, told in self.servers.items():  # when they begin is coarse
            self.servers[key] = msgspec.structs.replace(told, second=0)
        for row in read_lines(path / SERIES, SeriesRow):
            self.counts[row.lane, "served"] += row.served
            self.counts[row.lane, "observed_ms"] += row.observed_ms
        for line in read_lines(path / HISTOGRAMS, HistogramRow):
            merged = self.latencies.setdefault((line.lane, line.kind), Histogram())
            merged.merge(Histogram.from_sparse(line.histogram))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Said) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]
