"""All that a comparison has to know to go on after its process has ended.

Pure. It is taken between two steps of the event loop, and every cursor in it stands
where all keys before it were looked at; those that still have to be looked at again are
in it by name. Values never are.
"""

from collections import Counter
from typing import Any

import msgspec

from loadprobe.core.parity.coverage import Coverage, Walk
from loadprobe.core.parity.glimpse import Finding
from loadprobe.core.parity.tally import KeyExample, ParityTally

STATE_VERSION = 1


class ParityTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is compared, and how: what a state has to be of to be gone on with.

    Args:
        source: where it is, as host:port.
        target: where it is, as host:port.
        prefix: of the names of keys.
        sample: share of the keys.
        ttl_tolerance_s: ends may be so far apart.
    """

    source: str
    target: str
    prefix: bytes
    sample: float
    ttl_tolerance_s: float


class _PlainCoverage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``uncovered`` and ``owned`` are sets of slots as hexadecimal numbers."""

    uncovered: str
    looked: int
    rounds: int
    walks: list[dict[str, Any]]


class _Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    type: str
    keys: int


class _Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    key: bytes
    about: str


class ParityState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state, as it stands in its file.

    Args:
        schema_version: of this form.
        terms: what is compared.
        elapsed_s: how long it took until then.
        is_over: there is nothing left to be done.
        coverages: of the source, and of the target.
        suspects: keys that still have to be looked at again.
    """

    schema_version: int
    terms: ParityTerms
    elapsed_s: float
    is_over: bool
    coverages: tuple[_PlainCoverage, _PlainCoverage]
    suspects: list[bytes]
    counts: list[_Count]
    settled: int
    changing: int
    examples: list[_Example]
    remembered: bytes


def make_state(
    terms: ParityTerms,
    coverages: tuple[Coverage, Coverage],
    suspects: list[bytes],
    tally: ParityTally,
    *,
    elapsed_s: float,
    is_over: bool,
) -> ParityState:
    """Return the state of a comparison.

    Args:
        terms: what is compared.
        coverages: of the source, and of the target.
        suspects: keys that still have to be looked at again.
        tally: what was found.
        elapsed_s: how long it has taken.
        is_over: there is nothing left to be done.
    """
    first, second = map(_plain_coverage, coverages)
    return ParityState(
        STATE_VERSION,
        terms,
        elapsed_s,
        is_over,
        (first, second),
        suspects,
        [_Count(kind, type_, n) for (kind, type_), n in sorted(tally.counts.items())],
        tally.settled,
        tally.changing,
        [_Example(each.kind, each.key, each.about) for each in tally.examples],
        tally.remembered(),
    )


def coverages_of(state: ParityState) -> tuple[Coverage, Coverage]:
    """Return how far a state is, of the source and of the target.

    Raises:
        ValueError: a number in it is none.
    """
    first, second = map(_coverage, state.coverages)
    return first, second


def tally_of(state: ParityState) -> ParityTally:
    """Return what was found by then.

    Raises:
        ValueError: a kind in it is none.
    """
    counts = Counter({(Finding(c.kind), c.type): c.keys for c in state.counts})
    tally = ParityTally(counts, state.settled, state.changing)
    examples = [KeyExample(each.kind, each.key, each.about) for each in state.examples]
    tally.restore(examples, state.remembered)
    return tally


def _plain_coverage(coverage: Coverage) -> _PlainCoverage:
    walks = [
        {
            "address": walk.address,
            "life": walk.life,
            "owned": f"{walk.owned:x}",
            "cursor": walk.cursor.decode(),
            "looked": walk.looked,
        }
        for walk in coverage.walks.values()
    ]
    return _PlainCoverage(
        f"{coverage.uncovered:x}", coverage.looked, coverage.rounds, walks
    )


def _coverage(plain: _PlainCoverage) -> Coverage:
    coverage = Coverage(int(plain.uncovered, 16), {}, plain.looked, plain.rounds)
    for row in plain.walks:
        try:
            walk = Walk(
                str(row["address"]),
                str(row["life"]),
                int(row["owned"], 16),
                b"%d" % int(row["cursor"]),
                int(row["looked"]),
            )
        except (KeyError, TypeError) as exc:
            raise ValueError(f"a walk without {exc}") from exc
        coverage.walks[walk.address] = walk
    return coverage
