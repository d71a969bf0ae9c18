"""When a probe process tells what there is: rarely while all goes well."""

from dataclasses import dataclass, field

import pytest

from loadprobe.config.keys import Lane, Probe
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.recorder import ScopeRecorder, is_calm
from loadprobe.probe.messages import ProbeSnapshot, ScopeBlock
from loadprobe.probe.orders import Plan, Share
from loadprobe.probe.reports import Reports
from tests.support.running import small_lane

MS = 1_000_000
BEAT_NS = 10 * MS
FAILED = Failure(1, 2, -1, Outcome.UNKNOWN, ErrorClass.TIMEOUT, 3, 4)


@dataclass
class Issuer:
    """A lane as far as snapshots know it, without any health."""

    recorders: list[ScopeRecorder] = field(
        default_factory=lambda: [
            ScopeRecorder(Scope("tcp", shard, OpKind.READ))
            for shard in ("0001", "0002")
        ]
    )

    def is_calm(self, most: int) -> bool:
        """Tell whether there is little, and all of it well."""
        return is_calm(self.recorders, most)

    def take_blocks(self) -> list[ScopeBlock]:
        """Return what there is."""
        return ScopeBlock.take(self.recorders)

    def watermark_ns(self, now_ns: int) -> int:
        """Return that all is decided."""
        return now_ns


@dataclass
class Bench:
    """Reports in virtual time: a wake-up every 10 ms."""

    lane: Lane = field(default_factory=lambda: small_lane("tcp"))
    issuer: Issuer = field(default_factory=Issuer)
    sent: list[ProbeSnapshot] = field(default_factory=list)
    now_ns: int = 0

    def __post_init__(self) -> None:
        """Begin at zero."""
        plan = Plan(0, {}, None, Probe(), (Share(self.lane, 0, 1, 1, 1),), 7, False)
        self.reports = Reports(plan, [], [self.issuer], self._take)  # type: ignore[list-item]
        self.reports.due_ns = 250 * MS

    def _take(self, message: object) -> None:
        assert isinstance(message, ProbeSnapshot)
        self.sent.append(message)

    def pass_ms(self, length_ms: int, *, served_per_s: int = 100) -> list[int]:
        """Let time pass; return when snapshots were sent, in ms."""
        before = len(self.sent)
        end_ns = self.now_ns + length_ms * MS
        while self.now_ns < end_ns:
            self.now_ns += BEAT_NS
            for _ in range(served_per_s // 100):
                self.issuer.recorders[0].add_served(*[self.now_ns] * 3)
            if self.now_ns >= self.reports.due_ns:
                self.reports.look(self.now_ns)
        return [each.taken_ns // MS for each in self.sent[before:]]


async def test_little_that_went_well_may_wait() -> None:
    """Two snapshots a second; what they hold is all that there was."""
    bench = Bench()
    assert bench.pass_ms(2_000) == [500, 1_000, 1_500, 2_000]
    rows = [len(block.due) // 8 for each in bench.sent for block in each.blocks]
    assert rows == [50, 50, 50, 50]


@pytest.mark.parametrize("served_per_s", [500, 3_000])
async def test_much_is_told_four_times_a_second(served_per_s: int) -> None:
    """So snapshots stay small."""
    bench = Bench()
    assert bench.pass_ms(1_000, served_per_s=served_per_s) == [250, 500, 750, 1_000]


async def test_a_failure_is_told_as_soon_as_ever() -> None:
    """At the next look, which is not 250 ms away, and so is each one after it."""
    bench = Bench()
    assert bench.pass_ms(1_100) == [500, 1_000]
    bench.issuer.recorders[1].add_failure(FAILED)
    assert bench.pass_ms(150) == [1_250]
    assert bench.sent[-1].blocks[1].failures
    bench.issuer.recorders[1].add_failure(FAILED)
    assert bench.pass_ms(250) == [1_500]
    assert bench.pass_ms(750) == [2_000], "all is well again"


async def test_a_stall_is_told_as_soon_as_ever() -> None:
    """It is blind time, which is to be known."""
    bench = Bench()
    bench.pass_ms(1_000)
    bench.reports.stalls.append((0, 1))
    assert bench.pass_ms(250) == [1_250]
    assert bench.sent[-1].stalls == [(0, 1)]


async def test_what_clients_do_is_told_as_ever() -> None:
    """Their tries are counted by the second in which they are told."""
    bench = Bench(lane=small_lane("app", driver="redis-py"))
    assert bench.pass_ms(1_000) == [250, 500, 750, 1_000]
