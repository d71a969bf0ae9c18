"""Keys that others write: nothing that a correct server may give is called stale."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.load.foreign_key import ForeignKey
from loadprobe.core.load.ledger import ReadVerdict
from loadprobe.core.load.values import NIL

OK, STALE, MISSING = ReadVerdict.OK, ReadVerdict.STALE, ReadVerdict.MISSING


def make_key() -> ForeignKey:
    """Return a key of which nothing was read."""
    return ForeignKey(7, slot=1, read_slot=1, get=b"", set_head=b"")


@dataclass
class World:
    """A register, its writer, and reads of it that overlap in any way.

    Every version is applied once, in any order and after any delay.
    """

    key: ForeignKey = field(default_factory=make_key)
    stored: int | None = None
    next_version: int = 1
    to_apply: list[int] = field(default_factory=list)
    reads: list[tuple[int, bool]] = field(default_factory=list)
    answered: list[tuple[int, bool, int | None]] = field(default_factory=list)
    verdicts: list[ReadVerdict] = field(default_factory=list)

    def step(self, action: str, pick: int) -> None:
        """Let one thing happen; ``pick`` chooses among what waits."""
        match action:
            case "write":
                self.to_apply.append(self.next_version)
                self.next_version += 1
            case "apply" if self.to_apply:
                self.stored = self.to_apply.pop(pick % len(self.to_apply))
            case "send":
                self.reads.append((self.key.acked_version, self.key.value is not NIL))
            case "serve" if self.reads:
                sent = self.reads.pop(pick % len(self.reads))
                self.answered.append((*sent, self.stored))
            case "deliver" if self.answered:
                sent_at, present, version = self.answered.pop(pick % len(self.answered))
                self.verdicts.append(told(self.key, version, sent_at, present=present))


def told(
    key: ForeignKey, version: int | None, sent_at: int, *, present: bool
) -> ReadVerdict:
    """Judge a read as a lane does, and tell the key what was right."""
    verdict = key.judge_read(version, acked_at_send=sent_at, was_present=present)
    if verdict is OK and version is not None:
        key.seen(version, b"%d" % version)
    return verdict


def read(key: ForeignKey, version: int | None) -> ReadVerdict:
    """Judge a read that is sent and answered now."""
    present = key.value is not NIL
    return told(key, version, key.acked_version, present=present)


ACTIONS = st.sampled_from(["write", "apply", "send", "serve", "deliver"])


@given(st.lists(st.tuples(ACTIONS, st.integers(0, 9)), max_size=120))
def test_a_correct_server_is_never_accused(
    steps: list[tuple[str, int]],
) -> None:
    """However writes and reads overlap, every read is fine."""
    world = World()
    for action, pick in steps:
        world.step(action, pick)
    assert set(world.verdicts) <= {OK}


@given(st.lists(st.integers(1, 40), min_size=2, max_size=30, unique=True))
def test_what_was_overwritten_is_stale(versions: list[int]) -> None:
    """One read after the other, every version that was there before is stale."""
    key = make_key()
    for version in versions:
        assert read(key, version) is OK
    for version in versions[:-1]:
        assert read(key, version) is STALE
    assert read(key, versions[-1]) is OK
    assert read(key, None) is MISSING


def test_reads_that_overlap_prove_nothing() -> None:
    """Two reads at a time may be answered in any order."""
    key = make_key()
    assert told(key, 2, 0, present=False) is OK
    assert told(key, 1, 0, present=False) is OK
    assert read(key, 2) is OK


def test_nil_is_right_until_a_value_was_read() -> None:
    """A lane that sleeps has not written its part of the keys yet."""
    key = make_key()
    assert read(key, None) is OK
    assert read(key, 3) is OK
    assert read(key, None) is MISSING


def test_what_is_kept_is_bounded() -> None:
    """Of a key the latest 64 overwritten versions are known; older ones are fine."""
    key = make_key()
    for version in range(1, 100):
        read(key, version)
    assert read(key, 99 - 64) is STALE
    assert read(key, 1) is OK
