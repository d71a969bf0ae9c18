"""A run that is recorded as every run is, but measured in virtual time."""

import io
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from loadprobe.clock import ClockPair
from loadprobe.config.file import parse_config
from loadprobe.core.events import RunProblem
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.sealed_lines import Written
from loadprobe.run.going_on import find_past
from loadprobe.run.news import Informants
from loadprobe.run.plan import RunPlan
from loadprobe.run.published import Published
from loadprobe.run.recording import AtEnd, Recording
from loadprobe.run.sinks import Sinks

MS = 1_000_000
S = 1_000 * MS
CLOCK = ClockPair(0, 1_767_323_045 * S)
BEGIN_NS = 10 * S
PERIOD_NS = 10 * MS
CONFIG = """
[target]
host = "h"
[slo]
max_outage_ms = 100
[[lanes]]
name = "tcp"
"""
SCOPES = [Scope("tcp", shard, OpKind.READ) for shard in ("0001", "0002")]


class Recorded:
    """A run of one lane on two shards.

    Args:
        directory: where its folder is made.
        dark: when shard 0002 refuses, in ns from the begin.
        blind: when the probe does not run, likewise.
        turns: when a segment begins, likewise, at the end of a seal.
        resume: go on with the run that is there already.
        after_ns: from the end of what is known of it until it goes on.
        slo: more thresholds.
        lane: its name.
    """

    def __init__(
        self,
        directory: Path,
        *,
        dark: tuple[int, int] = (1500 * MS, 2100 * MS),
        blind: Sequence[tuple[int, int]] = (),
        turns: Collection[int] = (),
        resume: bool = False,
        after_ns: int = 500 * MS,
        slo: str = "",
        lane: str = "tcp",
    ) -> None:
        text = CONFIG.replace("[slo]", f"[slo]\n{slo}").replace('"tcp"', f'"{lane}"')
        self._scopes = [Scope(lane, each.shard, each.op) for each in SCOPES]
        config = parse_config(
            text + f'[output]\ndir = "{directory}"\n', where="run.toml"
        )
        plan = self.plan = RunPlan(config)
        self.aggregate = Aggregate([LaneInfo(lane, False, (0,), 250 * MS)])
        self.written: Written | None = None
        self.planned: list[Planned] = []
        self.sinks = Sinks()
        published = Published(
            plan,
            self.aggregate,
            CLOCK,
            self.sinks,
            planned=lambda _until_ns: self.planned,
        )
        self.published = published
        self.past = find_past(config) if resume else None
        begun_ns = BEGIN_NS
        if self.past is None:
            self.folder = RunFolder.create(directory, "run", clock=CLOCK)
        else:
            past = self.past
            begun_ns = past.before.until_ns + after_ns
            self.aggregate.go_on(past.before)
            published.go_on(past)
            self.folder = RunFolder.reopen(
                past.path,
                clock=CLOCK,
                lock=past.lock,
                after=past.segments[-1].number,
                known=past.known,
            )
        self.aggregate.start_process(0, begun_ns)
        self.recording = Recording(
            plan,
            self.folder,
            published,
            self.sinks,
            console=Console(file=io.StringIO()),
            clock=CLOCK,
            begun_ns=begun_ns,
            told=Informants(
                planned=lambda: self.planned,
                record=lambda: None,
                written=lambda: self.written,
                counters=lambda: published.metrics.counters,
                reopened=lambda: published.counter.reopened,
            ),
            past=self.past,
        )
        self._dark = dark
        self._blind = blind
        self._turns = turns
        self._now_ns = begun_ns

    def measure(self, until_ns: int, *, every_ns: int = 250 * MS) -> None:
        """Judge arrivals up to a time from the begin, and seal every so often."""
        while self._now_ns < BEGIN_NS + until_ns:
            start_ns, self._now_ns = self._now_ns, self._now_ns + every_ns
            blocks = {scope: self._block(scope, start_ns) for scope in self._scopes}
            stalls = [
                (BEGIN_NS + start, BEGIN_NS + end)
                for start, end in self._blind
                if start_ns < BEGIN_NS + end <= self._now_ns
            ]
            self.aggregate.add(0, blocks, watermark_ns=self._now_ns, stalls=stalls)
            self.sinks.take_sealed(self.aggregate.seal())
            if self._now_ns - BEGIN_NS in self._turns:
                assert self.recording.begin_segment("time")

    def tell_problem(self, text: str) -> None:
        """Have something beside the load fail."""
        self.sinks.take_event(RunProblem(self._now_ns, text))

    def conclude(self, *, lost_writes: int | None = None) -> list[str]:
        """Judge the run, and write its verdict; return the problems."""
        _, problems = self.recording.conclude(
            self.aggregate.finish(self._now_ns),
            AtEnd(
                record=None,
                lost_writes=lost_writes,
                planned=self.planned,
                topology=None,
                clock_offset_ns=None,
                problems=[],
            ),
        )
        return problems

    def _block(self, scope: Scope, start_ns: int) -> Block:
        block = Block()
        first, last = (BEGIN_NS + at for at in self._dark)
        for due in range(start_ns, self._now_ns, PERIOD_NS):
            if scope.shard == "0002" and first <= due < last:
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due + 1000, due + 400_000 + due % 7919)
        return block
