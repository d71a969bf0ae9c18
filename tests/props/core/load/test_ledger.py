"""The history against a simulated server, in any order of events."""

from dataclasses import dataclass, field
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.load import ledger
from loadprobe.core.load.ledger import History, ReadVerdict
from loadprobe.core.load.values import NIL
from tests.support.examples import examples

KEY = 7


def value(version: int) -> bytes:
    """Return a value of a version."""
    return b"v%d" % version


@dataclass
class Read:
    """A read under way: what the history said when it was sent, and what was found."""

    acked: int
    present: bool
    is_served: bool = False
    found: int | None = None


@dataclass
class World:
    """One register on a correct server, and a client with a history.

    Requests are applied, and replies delivered, in any order and after any delay.
    """

    history: History = field(default_factory=History)
    stored: int | None = None
    next_version: int = 1
    to_apply: list[int] = field(default_factory=list)
    to_ack: list[int] = field(default_factory=list)
    no_reply: set[int] = field(default_factory=set)
    reads: list[Read] = field(default_factory=list)
    verdicts: list[ReadVerdict] = field(default_factory=list)

    def step(self, action: str, pick: int) -> None:
        """Let one thing happen; ``pick`` chooses among what waits."""
        match action:
            case "write":
                self.history.begin_write(self.next_version)
                self.to_apply.append(self.next_version)
                self.next_version += 1
            case "apply" if self.to_apply:
                self.stored = self.to_apply.pop(pick % len(self.to_apply))
                if self.stored not in self.no_reply:
                    self.to_ack.append(self.stored)
            case "refuse" if self.to_apply:
                refused = self.to_apply.pop(pick % len(self.to_apply))
                if refused not in self.no_reply:
                    self.history.failed(refused)
            case "lose" if self.to_apply:
                self.no_reply.add(self.to_apply[pick % len(self.to_apply)])
            case "ack" if self.to_ack:
                version = self.to_ack.pop(pick % len(self.to_ack))
                self.history.acked(version, value(version))
            case "read":
                self.reads.append(
                    Read(self.history.acked_version, self.history.value is not NIL)
                )
            case "serve" if self.reads:
                read = self.reads[pick % len(self.reads)]
                if not read.is_served:
                    read.is_served, read.found = True, self.stored
            case "reply" if self.reads:
                at = pick % len(self.reads)
                if self.reads[at].is_served:
                    self.judge(self.reads.pop(at))
            case "look":
                self.read_now()

    def judge(self, read: Read) -> None:
        """Give a read's reply to the client."""
        verdict = self.history.judge_read(
            read.found, acked_at_send=read.acked, was_present=read.present
        )
        self.verdicts.append(verdict)
        if verdict is ReadVerdict.OK and read.found is not None:
            self.history.seen(read.found, value(read.found))

    def read_now(self) -> ReadVerdict:
        """Read without any delay."""
        self.judge(
            Read(
                self.history.acked_version,
                self.history.value is not NIL,
                is_served=True,
                found=self.stored,
            )
        )
        return self.verdicts[-1]


ACTIONS = st.sampled_from(
    ["write", "apply", "ack"] * 3 + ["lose", "refuse", "read", "serve", "reply", "look"]
)
STEPS = st.lists(st.tuples(ACTIONS, st.integers(0, 5)), min_size=15, max_size=80)


@examples(500)
@given(STEPS)
def test_a_correct_server_is_never_accused(steps: list[tuple[str, int]]) -> None:
    """Whatever is delayed, reordered or lost on the way, every read is judged OK."""
    world = World()
    for action, pick in steps:
        world.step(action, pick)
    world.read_now()
    assert set(world.verdicts) <= {ReadVerdict.OK}


@examples(50)
@given(STEPS, st.integers(65, 90))
def test_forgetting_accuses_nobody(steps: list[tuple[str, int]], burst: int) -> None:
    """More writes without a reply than are kept do not lead to a false verdict."""
    world = World()
    for _ in range(burst):
        world.step("write", 0)
        world.step("lose", len(world.to_apply) - 1)
    for action, pick in steps:
        world.step(action, pick)
        world.read_now()
    assert set(world.verdicts) <= {ReadVerdict.OK}


@examples(200)
@given(STEPS, st.sampled_from([1, 2, 64]))
def test_a_settled_version_stays(steps: list[tuple[str, int]], kept: int) -> None:
    """Nothing older is on a correct server any more, whatever is under way."""
    world = World()
    settled = 0
    with mock.patch.object(ledger, "_MOST_KEPT", kept):
        for action, pick in steps:
            world.step(action, pick)
            settled = max(settled, world.history.settled_version)
            assert (world.stored or 0) >= settled
    while world.to_apply:
        world.step("apply", 0)
        assert world.stored is not None
        assert world.stored >= settled


@examples(300)
@given(STEPS, st.data())
def test_a_lost_acknowledged_write_is_noticed(
    steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Going back to a state before an acknowledged write is stale, to nil missing."""
    world = World()
    for action, pick in steps:
        if action != "lose":
            world.step(action, pick)
    while world.to_apply:
        world.step("apply", 0)
    while world.to_ack:
        world.step("ack", 0)
    for _ in range(2):
        for action in ("write", "apply", "ack"):
            world.step(action, 0)
    assert world.read_now() is ReadVerdict.OK
    last = world.next_version - 1
    world.stored = data.draw(st.none() | st.integers(1, last - 1))
    expected = ReadVerdict.MISSING if world.stored is None else ReadVerdict.STALE
    assert world.read_now() is expected
