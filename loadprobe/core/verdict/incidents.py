"""Incidents: what happened together, and how long it was dark for whom.

Pure. Downtime is the length of a union or intersection of intervals, never a sum. The
bounds are computed with the same set arithmetic on the cores and on the hulls of the
outages: unions and intersections only grow when their parts grow, so they stay bounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from loadprobe.core.intervals import Interval, difference, intersection, length
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage


@dataclass(frozen=True, slots=True)
class DarkTime:
    """A length of time with error bars, in ns: lower <= estimate <= upper.

    ``unseen_ns`` is how much of the upper bound the probe did not see.
    """

    lower_ns: int = 0
    estimate_ns: int = 0
    upper_ns: int = 0
    unseen_ns: int = 0


@dataclass(frozen=True, slots=True)
class Downtime:
    """How long shards were dark.

    Args:
        any_shard: at least one of them (union).
        all_shards: all of them at once (intersection).
        shards: each of them, by name.
    """

    any_shard: DarkTime
    all_shards: DarkTime
    shards: Mapping[str, DarkTime]


@dataclass(frozen=True, slots=True)
class Incident:
    """Outages and blind spans closer together than the quiet time.

    Args:
        number: 1, 2, ... by time.
        start_ns: start of the earliest hull or span.
        end_ns: end of the latest one.
        outages: by start; all of them planned, or none.
        blind: by start.
        is_planned: the darkness was expected.
    """

    number: int
    start_ns: int
    end_ns: int
    outages: tuple[Outage, ...]
    blind: tuple[BlindSpan, ...]
    is_planned: bool = False

    @property
    def is_probe_only(self) -> bool:
        """Tell whether nothing but the probe itself was in trouble."""
        return not self.outages

    def scopes(self) -> dict[Scope, DarkTime]:
        """Return the dark time of every scope that had an outage."""
        by_scope: dict[Scope, list[Outage]] = {}
        for outage in self.outages:
            by_scope.setdefault(outage.scope, []).append(outage)
        return {scope: dark_time(part) for scope, part in sorted(by_scope.items())}

    def downtime(self, shards: Mapping[str, Sequence[str]]) -> dict[str, Downtime]:
        """Return the downtime per lane, given the names of each lane's shards."""
        return {
            lane: downtime([o for o in self.outages if o.scope.lane == lane], names)
            for lane, names in shards.items()
        }


@dataclass(frozen=True, slots=True)
class _Bands:
    """When something was dark: for certain, by estimate, at most, and unseen."""

    cores: list[Interval]
    estimates: list[Interval]
    hulls: list[Interval]
    unseen: list[Interval]

    @classmethod
    def of(cls, outages: Iterable[Outage], *, of_shard: bool = False) -> "_Bands":
        """Return those of outages; ``of_shard``: less what others saw served."""
        rows = list(outages)
        estimates, hulls = _estimates(rows), [o.hull for o in rows]
        if of_shard and any(o.lit_beside for o in rows):
            estimates = _less_light(rows, estimates)
            hulls = _less_light(rows, hulls)
        return cls(
            [core for o in rows for core in o.cores],
            estimates,
            hulls,
            [span for o in rows for span in o.unseen],
        )

    def time(self) -> DarkTime:
        """Return their lengths; unseen is what can have been dark and is not proven."""
        unseen: list[Interval] = []
        if self.unseen:
            unseen = difference(intersection([self.unseen, self.hulls]), self.cores)
        bands = self.cores, self.estimates, self.hulls, unseen
        return DarkTime(*map(length, bands))


def _less_light(outages: Sequence[Outage], spans: Sequence[Interval]) -> list[Interval]:
    """Return a span of each outage without what others saw served meanwhile."""
    return [
        part
        for outage, span in zip(outages, spans, strict=True)
        for part in (
            difference([span], outage.lit_beside) if outage.lit_beside else [span]
        )
    ]


def _estimates(outages: Sequence[Outage]) -> list[Interval]:
    """Return the estimated interval of each outage, given all the others.

    Reads and writes of a shard that go dark for the same reason do so at the same time,
    so their ranges for it overlap, and the time lies in what they have in common. It is
    estimated from as few instants as can explain all the starts (and ends) of a shard.
    """
    by_shard: dict[str, list[Outage]] = {}
    for outage in outages:
        by_shard.setdefault(outage.scope.shard, []).append(outage)
    estimates: list[Interval] = []
    for rows in by_shard.values():
        # A start lies in the middle between the last arrival served before and the
        # first failed one, and an end likewise.
        starts = _common_instants(
            [(2 * o.start_ns - o.first_due_ns, o.first_due_ns) for o in rows]
        )
        ends = _common_instants(
            [(o.last_due_ns, 2 * o.end_ns - o.last_due_ns) for o in rows]
        )
        estimates += zip(starts, ends, strict=True)
    return estimates


def _common_instants(ranges: Sequence[Interval]) -> list[int]:
    """Return an instant in each range, the same one for ranges that share one.

    Ranges are taken by their start; one joins the group before it if it shares an
    instant with all of that group. The instant is the middle of what a group shares.
    """
    order = sorted(range(len(ranges)), key=lambda i: ranges[i])
    instants = [0] * len(ranges)
    group: list[int] = []
    low = high = 0
    for i in order:
        start, end = ranges[i]
        if group and start <= high:
            low, high = start, min(high, end)
        else:
            low, high = start, end
            group = []
        group.append(i)
        for member in group:
            instants[member] = (low + high) // 2
    return instants


def dark_time(outages: Iterable[Outage]) -> DarkTime:
    """Return how long at least one of the outages was going on."""
    return _Bands.of(outages).time()


def downtime(
    outages: Iterable[Outage], shards: Sequence[str], *, of_shards: bool = False
) -> Downtime:
    """Return the downtime over the given shards.

    Args:
        outages: outages of these shards; lanes and op kinds are not told apart.
        shards: names of all shards that were probed, also those without an outage.
        of_shards: it is about the shards themselves: what a lane did not see is known
            from others that looked (see ``core.verdict.light``).
    """
    by_shard: dict[str, list[Outage]] = {shard: [] for shard in shards}
    for outage in outages:
        by_shard[outage.scope.shard].append(outage)
    bands = {
        shard: _Bands.of(rows, of_shard=of_shards) for shard, rows in by_shard.items()
    }
    each = list(bands.values())
    unseen = [span for band in each for span in band.unseen]
    common = _Bands(
        intersection([band.cores for band in each]),
        intersection([band.estimates for band in each]),
        intersection([band.hulls for band in each]),
        unseen,
    )
    joined = _Bands(
        [span for band in each for span in band.cores],
        [span for band in each for span in band.estimates],
        [span for band in each for span in band.hulls],
        unseen,
    )
    return Downtime(
        any_shard=joined.time(),
        all_shards=common.time(),
        shards={shard: band.time() for shard, band in bands.items()},
    )


def group_incidents(
    outages: Iterable[Outage],
    blind: Iterable[BlindSpan],
    *,
    quiet_ns: int,
    planned: Iterable[Outage] = (),
) -> list[Incident]:
    """Return the incidents by time.

    Two neighbours belong together if less than ``quiet_ns`` lies between their hulls.
    Planned outages are grouped among themselves: a lane that is dark by plan for the
    rest of a run must not make one incident of all that happens meanwhile.

    Args:
        outages: those that were not planned.
        blind: when lanes were blind.
        quiet_ns: length of the quiet time.
        planned: outages that were expected.
    """
    incidents = [
        *_group(outages, blind, quiet_ns),
        *(replace(i, is_planned=True) for i in _group(planned, (), quiet_ns)),
    ]
    incidents.sort(key=lambda incident: (incident.start_ns, incident.is_planned))
    return [replace(i, number=number) for number, i in enumerate(incidents, start=1)]


def _group(
    outages: Iterable[Outage], blind: Iterable[BlindSpan], quiet_ns: int
) -> list[Incident]:
    parts: list[tuple[int, int, Outage | BlindSpan]] = [
        (o.hull_start_ns, o.hull_end_ns, o) for o in outages
    ]
    parts += ((span.start_ns, span.end_ns, span) for span in blind)
    parts.sort(key=lambda part: part[:2])
    groups: list[list[tuple[int, int, Outage | BlindSpan]]] = []
    latest_ns = 0
    for part in parts:
        if groups and part[0] - latest_ns < quiet_ns:
            groups[-1].append(part)
            latest_ns = max(latest_ns, part[1])
        else:
            groups.append([part])
            latest_ns = part[1]
    return [
        Incident(
            number=0,
            start_ns=group[0][0],
            end_ns=max(end for _, end, _ in group),
            outages=tuple(p for _, _, p in group if isinstance(p, Outage)),
            blind=tuple(p for _, _, p in group if isinstance(p, BlindSpan)),
        )
        for group in groups
    ]
