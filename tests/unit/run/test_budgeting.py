"""What a run enters into its error budget, and shows of it."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.config.keys import Config, Lane, Output, Slo, Target
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.before import Before
from loadprobe.core.judging.columns import Block, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.budgeting import Budgeting
from tests.support.aggregating import MS, D, refuse, served

S = NS_PER_S
WALL_NS = 1_772_323_200 * S
"""A month begins."""

LANE = LaneInfo("tcp", False, (0,), D)


class Rig:
    """A run of one lane and two shards, 100 arrivals a second, at a wall time."""

    def __init__(
        self,
        folder: Path,
        *,
        at_s: int = 0,
        slo: float | None = 0.9999,
        since_s: int = 0,
    ) -> None:
        self.now_ns = since_s * S
        self.aggregate = Aggregate([LANE])
        self.planned: list[Planned] = []
        self.metrics = RunMetrics(
            "c", aggregate=self.aggregate, clock=ClockPair(0, WALL_NS)
        )
        self.config = Config(
            target=Target(host="db"),
            lanes=(Lane(name="tcp"),),
            output=Output(dir=str(folder)),
            slo=Slo(availability=slo),
        )
        self.budgeting = Budgeting(
            self.config,
            self.aggregate,
            ClockPair(0, WALL_NS + at_s * S),
            self.metrics,
            planned=lambda: self.planned,
            now_ns=lambda: self.now_ns,
        )
        self.aggregate.start_process(0, since_s * S)
        self.now_ms = since_s * 1000

    def run(
        self,
        seconds: float,
        *,
        dark: Sequence[tuple[str, OpKind]] = (),
        stalls: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Let time pass, sealed every 250 ms."""
        end_ms = self.now_ms + round(seconds * 1000)
        while self.now_ms < end_ms:
            then_ms = self.now_ms + 250
            blocks: dict[Scope, Block] = {}
            for shard in ("0001", "0002"):
                for op in (OpKind.READ, OpKind.WRITE):
                    dues = range(self.now_ms, then_ms, 10)
                    if (shard, op) in dark:
                        refuse(block := Block(), *dues)
                    else:
                        block = served(*dues)
                    blocks[Scope("tcp", shard, op)] = block
            self.now_ms = then_ms
            self.aggregate.add(
                0,
                blocks,
                watermark_ns=then_ms * MS,
                stalls=[
                    (start * MS, end * MS)
                    for start, end in stalls
                    if then_ms - 250 <= start < then_ms
                ],
            )
            self.budgeting.take_sealed(self.aggregate.seal())

    def figures(self, shard: str = "0001") -> tuple[float, float, float]:
        """Return how long a shard was dark this month, by plan and seen, in s."""
        budget = self.budgeting.figures
        assert budget is not None
        (place,) = (row for row in budget.places if row.shard == shard)
        month = place.of("month")
        used = month.used_s
        assert used.lower <= used.estimate <= used.upper
        return used.estimate, month.planned_s, month.observed_s

    def reload(self, availability: float | None) -> None:
        """Go on by another target."""
        slo = Slo(availability=availability)
        self.budgeting.use(msgspec.structs.replace(self.config, slo=slo))

    def shown(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return the series of the error budget."""
        values = self.metrics.snapshot().values
        found = {name: rows for name, rows in values.items() if "budget" in name}
        return {name: dict(rows) for name, rows in found.items() if rows}

    def end(self) -> None:
        """End in order."""
        self.budgeting.conclude()
        self.budgeting.close()


READ, WRITE = ("0001", OpKind.READ), ("0001", OpKind.WRITE)


def test_darkness_is_a_union_of_reads_and_writes(tmp_path: Path) -> None:
    """Of each shard on its own; a shard that was served has all of its budget."""
    rig = Rig(tmp_path)
    rig.run(5)
    rig.run(2, dark=[READ, WRITE])
    rig.run(1, dark=[WRITE])
    rig.run(5)
    rig.end()
    dark_s, planned_s, seen_s = rig.figures()
    assert abs(dark_s - 3) < 0.02
    assert planned_s == 0
    assert seen_s == 13
    assert rig.figures("0002") == (0, 0, 13)


def test_a_restart_goes_on_and_counts_nothing_twice(tmp_path: Path) -> None:
    """Killed while it is dark: what was known stays, and the gap is unseen."""
    rig = Rig(tmp_path)
    rig.run(5)
    rig.run(2, dark=[READ])
    rig.budgeting.close()  # and no more: as a kill leaves it
    again = Rig(tmp_path, at_s=10)
    dark_s, _, seen_s = again.figures()
    assert 1 < dark_s <= 2  # all but what was sealed in the last second
    assert 5 < seen_s <= 7
    again.run(1, dark=[READ])
    again.run(4)
    again.end()
    dark_s, _, seen_s = again.figures()
    assert 2 < dark_s <= 3.02
    assert 10 < seen_s <= 12
    third = Rig(tmp_path, at_s=12)  # its clock was set back by 3 s
    third.run(5)
    third.end()
    assert third.figures()[0] == dark_s
    assert third.figures()[2] == seen_s + 2


def test_what_goes_on_is_counted_as_far_as_it_is_known(tmp_path: Path) -> None:
    """An open outage is in the figures while it lasts, and in the gauges."""
    rig = Rig(tmp_path)
    rig.run(5)
    rig.run(10, dark=[READ])
    dark_s, _, _ = rig.figures()
    assert 8.5 < dark_s <= 10
    values = rig.metrics.snapshot().values
    used = values["error_budget_used_seconds"]["tcp", "0001", "month", "estimate"]
    assert used == dark_s
    left = values["error_budget_left_seconds"]["tcp", "0001", "month"]
    assert left == values["error_budget_allowed_seconds"]["month",] - used
    assert values["error_budget_burn_rate"]["tcp", "0001", "1h"] > 1000
    assert values["error_budget_target_ratio"] == {(): 0.9999}
    assert "error budget" in rig.budgeting.words
    rig.budgeting.close()


def test_darkness_by_plan_uses_nothing(tmp_path: Path) -> None:
    """It is told apart; what goes on beyond the plan is used."""
    rig = Rig(tmp_path)
    rig.planned = [Planned("tcp", 5 * S, 8 * S)]
    rig.run(5)
    rig.run(6, dark=[READ, WRITE])
    rig.run(5)
    rig.end()
    dark_s, planned_s, _ = rig.figures()
    assert abs(planned_s - 3) < 0.02
    assert abs(dark_s - 3) < 0.02


def test_blind_time_is_unseen_and_uses_nothing(tmp_path: Path) -> None:
    """Only the upper bound of an outage reaches across it."""
    rig = Rig(tmp_path)
    rig.run(5)
    rig.run(3, dark=[READ], stalls=[(6000, 7000)])
    rig.run(5)
    rig.end()
    dark_s, _, seen_s = rig.figures()
    assert abs(dark_s - 2) < 0.05
    assert abs(seen_s - 12) < 0.05
    budget = rig.budgeting.figures
    assert budget is not None
    assert abs(budget.places[0].of("month").used_s.upper - 3) < 0.05
    assert abs(budget.places[0].of("month").unseen_s - 1) < 0.05


def test_new_connections_use_nothing(tmp_path: Path) -> None:
    """They count in no figure of the load."""
    rig = Rig(tmp_path)
    rig.run(2)
    connects = Scope("tcp", "0001", OpKind.CONNECT)
    rig.aggregate.add(
        0, {connects: refuse(Block(), 2000, 2100)}, watermark_ns=2250 * MS
    )
    rig.budgeting.take_sealed(rig.aggregate.seal())
    rig.now_ms = 2250
    rig.run(2)
    rig.end()
    assert rig.figures()[0] == 0


def test_without_a_target_nothing_is_kept(tmp_path: Path) -> None:
    """No file, no figures, no words."""
    rig = Rig(tmp_path, slo=None)
    rig.run(2)
    rig.end()
    assert list(tmp_path.iterdir()) == []
    assert rig.budgeting.figures is None
    assert rig.budgeting.words == ""
    assert rig.budgeting.problems == []


def test_another_target_is_reckoned_by_at_once(tmp_path: Path) -> None:
    """What was used stays used; what is allowed, and left, are others."""
    rig = Rig(tmp_path, slo=0.9999)
    rig.run(3)
    rig.run(2, dark=[READ])
    rig.run(3)
    before = rig.figures()[0]
    rig.reload(0.5)
    assert rig.figures()[0] == before
    budget = rig.budgeting.figures
    assert budget is not None
    assert budget.target == 0.5
    assert budget.places[0].of("28d").allowed_s == 14 * 24 * 3600
    assert rig.shown()["error_budget_target_ratio"] == {(): 0.5}
    rig.run(2, dark=[READ])
    rig.run(1)
    rig.end()
    assert abs(rig.figures()[0] - 4) < 0.02


def test_a_budget_begins_with_its_target(tmp_path: Path) -> None:
    """Nothing of before is in it but what its file says, and what is dark then."""
    Rig(tmp_path, slo=None).reload(None)
    assert list(tmp_path.iterdir()) == []
    rig = Rig(tmp_path, slo=None)
    rig.run(5, dark=[READ])
    rig.run(5)
    rig.now_ns = 10 * S
    rig.reload(0.99)
    rig.run(3)
    rig.run(2, dark=[READ])
    rig.run(5)
    rig.end()
    dark_s, _, seen_s = rig.figures()
    assert abs(dark_s - 2) < 0.02
    assert seen_s == 10
    again = Rig(tmp_path, at_s=100)
    assert abs(again.figures()[0] - 2) < 0.02
    again.end()


def test_a_budget_ends_with_its_target(tmp_path: Path) -> None:
    """Nothing of it is shown any more; its file stays, and may be taken again."""
    rig = Rig(tmp_path)
    rig.run(3)
    rig.run(2.5, dark=[READ])
    rig.reload(None)
    assert rig.budgeting.figures is None
    assert rig.budgeting.words == ""
    assert rig.shown() == {}
    rig.run(2)
    rig.now_ns = round(7.5 * S)
    rig.reload(0.99)
    rig.run(2.5)
    rig.end()
    dark_s, _, seen_s = rig.figures()
    assert abs(dark_s - 2.5) < 0.02
    assert abs(seen_s - 8) < 0.1


def test_a_run_that_goes_on_forgets_nothing(tmp_path: Path) -> None:
    """Its clock was read when it first began; what came since then has come."""
    rig = Rig(tmp_path)
    rig.run(100)
    rig.run(20, dark=[READ])
    rig.run(180)
    rig.budgeting.close()
    again = Rig(tmp_path, since_s=310)
    again.run(5)
    again.end()
    dark_s, _, seen_s = again.figures()
    assert abs(dark_s - 20) < 0.02
    assert 303 < seen_s <= 305


def test_what_an_earlier_process_saw_alone_is_seen_no_longer(tmp_path: Path) -> None:
    """A shard that has gone was not looked at by the process that goes on."""
    rig = Rig(tmp_path)
    rig.run(10)
    rig.end()
    rig.aggregate.finish(10 * S)
    totals = rig.aggregate.scope_totals
    gone = {Scope("tcp", "0003", OpKind.READ): copy(totals[Scope("tcp", *READ)])}
    again = Rig(tmp_path, since_s=11)
    again.budgeting.close()
    again.aggregate = Aggregate([LANE])
    again.budgeting = Budgeting(
        again.config,
        again.aggregate,
        ClockPair(0, WALL_NS),
        again.metrics,
        planned=list,
        now_ns=lambda: 11 * S,
    )
    again.aggregate.go_on(Before(10 * S, rig.aggregate.lane_totals, totals | gone))
    again.budgeting.go_on()
    again.aggregate.start_process(0, 11 * S)
    again.run(5)
    again.end()
    budget = again.budgeting.figures
    assert budget is not None
    assert [place.shard for place in budget.places] == ["0001", "0002"]
