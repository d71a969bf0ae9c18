"""Weeks of a run in seconds: everything but the probes, by a clock of its own."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from loadprobe.clock import ClockPair
from loadprobe.config.file import parse_config
from loadprobe.core.events import MarkMade
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.holding import segment_paths
from loadprobe.outputs.folder.retention import Retention
from loadprobe.outputs.folder.upkeep import Order, Report, UpkeepWork
from loadprobe.run.aftermath import load_any_run
from loadprobe.run.news import Informants
from loadprobe.run.plan import RunPlan
from loadprobe.run.published import Published
from loadprobe.run.recording import AtEnd, Recording
from loadprobe.run.sealing import Sealing
from loadprobe.run.segmenting import Segmenting
from loadprobe.run.sinks import Sinks

MS = 1_000_000
S = 1_000 * MS
H = 3600 * S
DAY = 24 * H
START = ClockPair(100 * S, 1_767_323_045 * S)
STEP_NS = 600 * S
INCIDENT_EVERY_NS = 7 * H
CONFIG = """
name = "long"
[target]
host = "h"
[[lanes]]
name = "tcp"
[[lanes]]
name = "tls"
tls = true
"""
SCOPES = [
    Scope(lane, shard, op)
    for lane in ("tcp", "tls")
    for shard in ("0001", "0002")
    for op in (OpKind.READ, OpKind.WRITE)
]


class LongRun:
    """A run of two lanes on two shards, an arrival every ten minutes, without an end.

    Every seven hours a shard is dark for half a second.

    Args:
        directory: where its folder is made.
        retention: what is kept.
        monkeypatch: gives the run a clock of its own.
    """

    def __init__(
        self, directory: Path, retention: Retention, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.now_ns = START.mono_ns
        self._retention = retention
        self._segment = 1
        self.incidents = 0
        for part, name, read in (
            (Sealing, "now_ns", lambda: self.now_ns),
            (Segmenting, "now_ns", lambda: self.now_ns),
            (Segmenting, "read_clock", self._clock),
        ):
            defaults = part.__init__.__kwdefaults__
            assert defaults is not None
            monkeypatch.setitem(defaults, name, read)
        monkeypatch.setattr(os, "fsync", lambda _: None)  # that is not what is tested
        lanes = [
            LaneInfo("tcp", False, (0,), 250 * MS),
            LaneInfo("tls", True, (1,), 250 * MS),
        ]
        plan = RunPlan(parse_config(CONFIG, where="run.toml"))
        self.aggregate = Aggregate(lanes)
        self.sinks = Sinks()
        self.published = Published(
            plan, self.aggregate, START, self.sinks, planned=lambda _until_ns: []
        )
        self.folder = RunFolder.create(directory, "long", clock=START)
        for process in (0, 1):
            self.aggregate.start_process(process, self.now_ns)
        self.recording = Recording(
            plan,
            self.folder,
            self.published,
            self.sinks,
            console=Console(file=io.StringIO(), quiet=True),
            clock=START,
            begun_ns=self.now_ns,
            told=Informants(planned=list, record=lambda: None, written=lambda: None),
        )
        self.last = Report()

    def run_until(self, since_begin_ns: int) -> None:
        """Measure, judge, write, rotate and compact up to a time since the begin."""
        while self.now_ns < START.mono_ns + since_begin_ns:
            start_ns, self.now_ns = self.now_ns, self.now_ns + STEP_NS
            is_dark = (start_ns - START.mono_ns) % INCIDENT_EVERY_NS == 0
            self.incidents += is_dark
            for process, lane in enumerate(("tcp", "tls")):
                blocks = {
                    scope: self._block(start_ns, is_dark=is_dark and scope == SCOPES[0])
                    for scope in SCOPES
                    if scope.lane == lane
                }
                self.aggregate.add(process, blocks, watermark_ns=self.now_ns)
            self.sinks.take_sealed(self.aggregate.seal())
            self.recording.refresh(None, self.now_ns)
            if self.folder.segment != self._segment:
                self._segment = self.folder.segment
                self.sinks.take_event(MarkMade(self.now_ns, "a segment ended", "me"))
                self.keep()

    def keep(self) -> None:
        """Do what the process does that keeps the folder small."""
        order = Order(
            str(self.folder.path),
            self._retention,
            first_growing=self.folder.first_growing,
            incidents=self.recording.incidents.take(20),
            now_unix_ns=START.to_wall(self.now_ns),
        )
        self.last = UpkeepWork(order, disk_ratio=lambda _: 0.0).carry_out()
        assert self.last.problem == ""

    def conclude(self) -> None:
        """End the run."""
        results = self.aggregate.finish(self.now_ns)
        self.recording.conclude(results, AtEnd(None, None, [], None, None, []))

    def _clock(self) -> ClockPair:
        return ClockPair(self.now_ns, START.to_wall(self.now_ns))

    def _block(self, start_ns: int, *, is_dark: bool) -> Block:
        block = Block()
        due = start_ns + S
        block.add_served(due, due + 1000, due + 400_000 + start_ns // S % 7919)
        if is_dark:
            for at in range(due + S, due + S + 500 * MS, 10 * MS):
                row = (at, at, at + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, at, at + 1000))
            end = due + 2 * S
            block.add_served(end, end + 1000, end + 400_000)
        return block


def check_what_is_left(run: LongRun, *, kept_h: int) -> None:
    """See that what is left is what is to be kept, and that the verdict has it all."""
    path = run.folder.path
    there = len(segment_paths(path))
    assert kept_h <= there <= kept_h + 2
    assert len(list(path.rglob("histograms.ndjson.zst"))) <= 2 + 1 + run.incidents
    assert len(list(path.rglob("series.ndjson.zst"))) <= 6 + 1 + run.incidents
    assert len(list(path.glob("incidents/2*"))) >= run.incidents - 1
    report = load_any_run(path)
    dark = report.summary.downtime_ms.any_shard
    assert dark.lower <= 500 * run.incidents <= dark.upper
    assert len(report.outages) == run.incidents
    run.conclude()
    report = load_any_run(path)
    assert len(report.outages) == run.incidents
    assert len(list(path.glob("incidents/2*"))) == run.incidents
