"""The causes of all outages of a run, told while it lasts and when it is over.

Pure. Op kinds that go to different nodes prove nothing of each other, so each outage is
judged beside those of its own kind only.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadprobe.core.judging.aggregate import LaneInfo, LaneTotals
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.attribution import Attribution, attribute
from loadprobe.core.verdict.beside import (
    Context,
    LaneFacts,
    Planned,
    Served,
    make_context,
)


@dataclass(frozen=True, slots=True)
class Watched:
    """What was looked at until a time.

    Args:
        lanes: the lanes.
        totals: what was seen of each, by name.
        scopes: all scopes that had arrivals.
        end_ns: everything due before has been judged.
    """

    lanes: Sequence[LaneInfo]
    totals: Mapping[str, LaneTotals]
    scopes: Collection[Scope]
    end_ns: int

    def shards(self, op: OpKind | None = None) -> dict[str, tuple[str, ...]]:
        """Return the shards that each lane has scopes of.

        Args:
            op: only scopes that go where it goes; None is all.
        """
        found: dict[str, set[str]] = {lane.name: set() for lane in self.lanes}
        for scope in self.scopes:
            if op in (None, scope.op.witnessed_as):
                found[scope.lane].add(scope.shard)
        return {lane: tuple(sorted(names)) for lane, names in found.items()}

    def facts(self, op: OpKind | None = None) -> list[LaneFacts]:
        """Return what attribution needs to know of the lanes; ``op`` as in shards."""
        shards = self.shards(op)
        return [self._facts(lane, shards[lane.name]) for lane in self.lanes]

    def _facts(self, lane: LaneInfo, shards: tuple[str, ...]) -> LaneFacts:
        totals = self.totals[lane.name]
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


def find_causes(
    outages: Iterable[Outage],
    watched: Watched,
    *,
    beside: Collection[Outage],
    planned: Sequence[Planned] = (),
    served: Served | None = None,
) -> list[tuple[Outage, Attribution]]:
    """Return outages with their causes.

    Args:
        outages: those to judge.
        watched: what was looked at.
        beside: all that are known, these included.
        planned: darkness that was expected.
        served: see ``core.verdict.attribution.Context``.
    """
    contexts: dict[OpKind, Context] = {}
    found: list[tuple[Outage, Attribution]] = []
    for outage in outages:
        op = outage.scope.op.witnessed_as
        if op not in contexts:
            same = [o for o in beside if o.scope.op.witnessed_as is op]
            contexts[op] = make_context(watched.facts(op), same, planned, served)
        found.append((outage, attribute(outage, contexts[op])))
    return found
