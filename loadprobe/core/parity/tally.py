"""What was found so far: counts by kind and type, and examples of keys.

Pure, and of bounded size. SCAN may tell a key twice, and a node that has to be begun
anew tells all of its keys again: what has counted is remembered, by a digest of its
name, so that no difference counts twice (for the first ``MOST_REMEMBERED``).
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

from loadprobe.core.parity.glimpse import DIFFERENCES, Finding, Glimpse
from loadprobe.core.parity.suspects import BothSeen, SuspectFate

MOST_REMEMBERED = 200_000
MOST_EXAMPLES = 20
LONGEST_EXAMPLE = 512
"""Bytes of a key's name that are kept as an example."""

CHANGING = "changing"
_NS_PER_S = 1e9
_WORD = "Q"


@dataclass(frozen=True, slots=True)
class KeyExample:
    """A key that was found.

    Args:
        kind: what was found of it.
        key: its name, up to ``LONGEST_EXAMPLE`` bytes of it.
        about: what is on both sides; never a part of a value.
    """

    kind: str
    key: bytes
    about: str


@dataclass(slots=True)
class ParityTally:
    """Counts and examples.

    Args:
        counts: (kind, type) -> keys; the type is that in the source if it is there.
        settled: keys that differed at first, and then no more.
        changing: keys that were changed between all looks.
        examples: a few of each kind.
    """

    counts: Counter[tuple[Finding, str]] = field(default_factory=Counter)
    settled: int = 0
    changing: int = 0
    examples: list[KeyExample] = field(default_factory=list)
    _remembered: set[int] = field(default_factory=set)
    _kept: Counter[str] = field(default_factory=Counter)

    @property
    def different(self) -> int:
        """Return how many keys differ."""
        return sum(self.count_of(kind) for kind in DIFFERENCES)

    @property
    def may_count_twice(self) -> bool:
        """Tell whether more was found than is remembered."""
        return len(self._remembered) >= MOST_REMEMBERED

    def count_of(self, kind: Finding) -> int:
        """Return how many keys of a kind there are."""
        return sum(count for (each, _), count in self.counts.items() if each is kind)

    def note(self, key: bytes, fate: SuspectFate, seen: BothSeen) -> None:
        """Count a key whose fate is decided."""
        if fate is SuspectFate.AGAIN or self._was_counted(key):
            return
        if fate is SuspectFate.CHANGING:
            self.changing += 1
            kind = CHANGING
        else:
            source, target = seen.source, seen.target
            shown = source if source.is_there else target
            self.counts[seen.finding, as_text(shown.type)] += 1
            kind = seen.finding.value
        if self._kept[kind] < MOST_EXAMPLES:
            self._keep(KeyExample(kind, key[:LONGEST_EXAMPLE], _about(seen)))

    def remembered(self) -> bytes:
        """Return what has counted, to be kept."""
        return array(_WORD, sorted(self._remembered)).tobytes()

    def restore(self, examples: list[KeyExample], remembered: bytes) -> None:
        """Take what was kept of an earlier life.

        Raises:
            ValueError: it is cut off.
        """
        words = array(_WORD)
        words.frombytes(remembered)
        self._remembered = set(words)
        for example in examples:
            self._keep(example)

    def _keep(self, example: KeyExample) -> None:
        self.examples.append(example)
        self._kept[example.kind] += 1

    def _was_counted(self, key: bytes) -> bool:
        digest = int.from_bytes(blake2b(key, digest_size=8).digest())
        if digest in self._remembered:
            return True
        if not self.may_count_twice:
            self._remembered.add(digest)
        return False


def as_text(name: bytes) -> str:
    """Return a name for people: what is no UTF-8 in it is escaped."""
    return name.decode(errors="backslashreplace")


def _about(seen: BothSeen) -> str:
    source, target = seen.source, seen.target
    if seen.finding is Finding.TYPE:
        return f"{as_text(source.type)} in source, {as_text(target.type)} in target"
    if seen.finding is Finding.TTL:
        return (
            f"{as_text(source.type)}, {_end(source)} in source, "
            f"{_end(target)} in target"
        )
    return as_text((source if source.is_there else target).type)


def _end(glimpse: Glimpse) -> str:
    if glimpse.ends is None:
        return "no end"
    return f"{max(0, glimpse.ends[0] - glimpse.seen_ns) / _NS_PER_S:,.1f} s left"
