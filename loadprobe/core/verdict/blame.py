"""Whose fault the outages of a run were, told while it lasts and when it is over.

Pure. Outages are cut where darkness by plan begins and ends, and where the witness of a
client lane came back; then every part has one cause. Op kinds that go to different
nodes prove nothing of each other, so each outage is judged beside those of its own kind
only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.lanes import LaneInfo, LaneTotals
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.judging.results import Results
from loadprobe.core.verdict.attribution import Attribution, Cause, attribute
from loadprobe.core.verdict.beside import LaneFacts, Planned, Served, make_context
from loadprobe.core.verdict.light import add_light
from loadprobe.core.verdict.plan_edges import cut_at_plan
from loadprobe.core.verdict.witness_edges import cut_at_witness


@dataclass(frozen=True, slots=True)
class Watched:
    """What was looked at until a time, and what outages were seen.

    Args:
        lanes: the lanes.
        lane_totals: what was seen of each, by name.
        scope_totals: what was seen of each scope that had arrivals.
        outages: those that were kept, also those that go on, not cut.
        dropped_outages: those that were counted and not kept.
        end_ns: everything due before has been judged.
    """

    lanes: Sequence[LaneInfo]
    lane_totals: Mapping[str, LaneTotals]
    scope_totals: Mapping[Scope, ScopeTotals]
    outages: Sequence[Outage]
    dropped_outages: int
    end_ns: int

    @classmethod
    def until_end(cls, results: Results) -> "Watched":
        """Return that of a run that is over."""
        return cls(
            results.lanes,
            results.lane_totals,
            results.scope_totals,
            results.outages,
            results.dropped_outages,
            results.end_ns,
        )

    @classmethod
    def so_far(cls, aggregate: Aggregate, end_ns: int) -> "Watched":
        """Return that of a run that goes on."""
        return cls(
            aggregate.lanes,
            aggregate.lane_totals,
            aggregate.scope_totals,
            [*aggregate.outages, *aggregate.current().values()],
            aggregate.dropped_outages,
            end_ns,
        )

    def of_load(self) -> "Watched":
        """Return that of the load alone, without what is apart from it."""
        scopes = self.scope_totals.items()
        return replace(
            self,
            scope_totals={s: totals for s, totals in scopes if not s.op.is_apart},
            outages=[o for o in self.outages if not o.scope.op.is_apart],
        )

    def shards(self, op: OpKind | None = None) -> dict[str, tuple[str, ...]]:
        """Return the shards that each lane has scopes of.

        Args:
            op: only scopes that go where it goes; None is all.
        """
        found: dict[str, set[str]] = {lane.name: set() for lane in self.lanes}
        for scope in self.scope_totals:
            if op in (None, scope.op.witnessed_as):
                found[scope.lane].add(scope.shard)
        return {lane: tuple(sorted(names)) for lane, names in found.items()}

    def reads_per_write(self) -> dict[tuple[str, str], float]:
        """Return (lane, shard) -> reads of it for each write, where there are both."""
        found: dict[tuple[str, str], float] = {}
        for scope, totals in self.scope_totals.items():
            writes = totals.arrivals if scope.op is OpKind.WRITE else 0
            reads = self.scope_totals.get(scope._replace(op=OpKind.READ))
            if writes and reads is not None:
                found[scope.lane, scope.shard] = reads.arrivals / writes
        return found

    def facts(self, op: OpKind | None = None) -> list[LaneFacts]:
        """Return what attribution needs to know of the lanes; ``op`` as in shards."""
        shards = self.shards(op)
        return [self._facts(lane, shards[lane.name]) for lane in self.lanes]

    def _facts(self, lane: LaneInfo, shards: tuple[str, ...]) -> LaneFacts:
        totals = self.lane_totals[lane.name]
        # A lane that was not woken yet has seen nothing.
        begin_ns = self.end_ns if totals.begin_ns is None else totals.begin_ns
        return LaneFacts(
            name=lane.name,
            tls=lane.tls,
            is_witness=lane.is_witness,
            shards=shards,
            begin_ns=begin_ns,
            end_ns=self.end_ns,
            blind=totals.blind,
            read_from=lane.read_from,
        )


@dataclass(frozen=True, slots=True)
class Blamed:
    """An outage, or a part of one, with its cause."""

    outage: Outage
    attribution: Attribution

    @property
    def is_planned(self) -> bool:
        """Tell whether it was expected."""
        return self.attribution.cause is Cause.PLANNED

    @property
    def order(self) -> tuple[int, Scope]:
        """Return by what outages are put in order."""
        return self.outage.first_due_ns, self.outage.scope


def blame(
    outages: Iterable[Outage],
    watched: Watched,
    *,
    planned: Sequence[Planned] = (),
    served: Served | None = None,
) -> list[Blamed]:
    """Return outages with their causes, cut where these change, by time.

    Args:
        outages: those to judge, not cut.
        watched: what was looked at; what went on beside them is told from its outages.
        planned: darkness that was expected.
        served: see ``core.verdict.beside.Context``.
    """
    by_op: dict[OpKind, list[Outage]] = {}
    for outage in outages:
        by_op.setdefault(outage.scope.op.witnessed_as, []).append(outage)
    found: list[Blamed] = []
    for op, own in by_op.items():
        beside = [o for o in watched.outages if o.scope.op.witnessed_as is op]
        facts = watched.facts(op)
        parts = cut_at_plan(add_light(own, facts, beside), planned)
        reads = watched.reads_per_write()
        context = make_context(facts, beside, planned, served, reads=reads)
        found += (
            Blamed(part, attribute(part, context))
            for part in cut_at_witness(parts, facts, beside)
        )
    return sorted(found, key=lambda part: part.order)
