"""A share of a lane and a server that takes keys away when their TTL has passed.

All in virtual time, which is that of both clocks; commands and replies take the time
that a test says. The server can be out of reach, lose a key, and go back to what it was
some time ago, as a promoted replica does that had not heard of the rest yet.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from unittest.mock import patch

import hiredis

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.config.keys import Lane
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.drivers.base import Arrival
from loadprobe.probe import keys as keys_module
from loadprobe.probe import renewing as renewing_module
from loadprobe.probe.content import is_right
from loadprobe.probe.keys import LaneKeys
from loadprobe.probe.renewing import Renewing

TTL_S = 40
MS = NS_PER_MS
LOOK_NS = 50 * MS
START_NS = 5 * NS_PER_S


class Answer:
    """What is needed of a future, which calls back at once."""

    def __init__(self) -> None:
        self._reply: object = None
        self._called: list[Callable[[Answer], None]] = []

    def add_done_callback(self, call: "Callable[[Answer], None]") -> None:
        """Have somebody called when there is a reply."""
        self._called.append(call)

    def set(self, reply: object) -> None:
        """Give the reply."""
        self._reply = reply
        for call in self._called:
            call(self)

    def cancelled(self) -> bool:
        """Return False: nobody cancels it."""
        return False

    def exception(self) -> Exception | None:
        """Return what went wrong, if it is that."""
        return self._reply if isinstance(self._reply, Exception) else None

    def result(self) -> object:
        """Return the reply."""
        return self._reply


@dataclass(frozen=True, slots=True)
class Stored:
    """A value, when its TTL ends (None: never), and which version it is."""

    value: bytes
    ends_ns: int | None


@dataclass(slots=True)
class Server:
    """Keys with a TTL.

    Attributes:
        stored: what is there, expired or not.
        before: (time, key, what it had been) of every change, the newest last.
        lost: keys whose last acknowledged value was taken away, not by its TTL.
        asked: commands by their names.
    """

    stored: dict[bytes, Stored] = field(default_factory=dict)
    before: list[tuple[int, bytes, Stored | None]] = field(default_factory=list)
    lost: set[bytes] = field(default_factory=set)
    asked: dict[bytes, int] = field(default_factory=dict)

    def get(self, key: bytes, now_ns: int) -> Stored | None:
        """Return what is there, if its TTL has not passed."""
        found = self.stored.get(key)
        if found is None or (found.ends_ns is not None and found.ends_ns <= now_ns):
            return None
        return found

    def _put(self, key: bytes, stored: Stored | None, now_ns: int) -> None:
        self.before.append((now_ns, key, self.stored.get(key)))
        if stored is None:
            self.stored.pop(key, None)
        else:
            self.stored[key] = stored

    def carry_out(self, command: bytes, now_ns: int) -> object:
        """Carry out a command and return the reply."""
        reader = hiredis.Reader()
        reader.feed(command)
        name, key, *rest = reader.gets()
        self.asked[name] = self.asked.get(name, 0) + 1
        found = self.get(key, now_ns)
        if name == b"GET":
            return found.value if found else None
        if name == b"SET":
            value, *limit = rest
            ends_ns = now_ns + int(limit[1]) * NS_PER_S if limit else None
            self._put(key, Stored(value, ends_ns), now_ns)
            self.lost.discard(key)
            return b"OK"
        if found is None:
            return 0
        if name == b"PERSIST":
            self._put(key, Stored(found.value, None), now_ns)
            return int(found.ends_ns is not None)
        assert name == b"EXPIRE", name
        self._put(key, Stored(found.value, now_ns + int(rest[0]) * NS_PER_S), now_ns)
        return 1

    def has_lost(self, command: bytes) -> bool:
        """Tell whether the value that a command is about had been lost."""
        reader = hiredis.Reader()
        reader.feed(command)
        return reader.gets()[1] in self.lost

    def lose(self, key: bytes, now_ns: int) -> bool:
        """Lose a key that is there; tell whether it was."""
        if self.get(key, now_ns) is None:
            return False
        self._put(key, None, now_ns)
        self.lost.add(key)
        return True

    def go_back(self, lag_ns: int, now_ns: int) -> None:
        """Be what it was some time ago; values that are not there any more are lost."""
        was = {key: each.value for key, each in self.stored.items()}
        while self.before and self.before[-1][0] > now_ns - lag_ns:
            _, key, stored = self.before.pop()
            if stored is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = stored
        for key, value in was.items():
            found = self.stored.get(key)
            if found is None or found.value != value:
                self.lost.add(key)


class Rig:
    """A share of a lane with its server.

    Attributes:
        now_ns: virtual time.
        is_reachable: whether commands can be sent.
        is_looking: whether the probe runs.
    """

    def __init__(self, **lane: object) -> None:
        plain: dict[str, object] = {"keys": 4, "ttl_s": TTL_S}
        config = Lane(name="tcp", **(plain | lane))  # type: ignore[arg-type]
        self.now_ns = START_NS
        self.keys = LaneKeys(config, Keyspace("tcp", config.keys, 0, 1), version_base=1)
        self.renewing = Renewing(self.keys, lambda _: "0001")
        self.renewing.attach(self.request)  # type: ignore[arg-type]
        self.server = Server()
        self.is_reachable = True
        self.is_looking = True
        self.delay_ns = MS
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._missed: list[Callable[[], None]] = []

    def name(self, number: int) -> bytes:
        """Return the name of a key."""
        return self.keys.space.key(number)

    # --- time ---------------------------------------------------------------------

    def at(self, when_ns: int, call: Callable[[], None]) -> None:
        """Have something done at a time."""
        heappush(self._events, (when_ns, next(self._order), call))

    def heard(self, call: Callable[[], None]) -> None:
        """Do something the probe does, or once it runs again."""
        if self.is_looking:
            call()
        else:
            self._missed.append(call)

    def run(self, for_ns: int) -> None:
        """Let time pass; the probe looks after its keys if it runs."""
        until_ns = self.now_ns + for_ns
        while self.now_ns < until_ns:
            next_ns = min(self.now_ns + LOOK_NS, until_ns)
            while self._events and self._events[0][0] <= next_ns:
                self.now_ns, _, call = heappop(self._events)
                call()
            self.now_ns = next_ns
            if self.is_looking:
                self.renewing.look(self.now_ns)

    def stop(self, for_ns: int) -> None:
        """Let time pass in which the probe is stopped."""
        self.is_looking = False
        self.run(for_ns)
        self.is_looking = True
        self.renewing.look(self.now_ns)
        missed, self._missed = self._missed, []
        for call in missed:
            call()

    # --- commands -----------------------------------------------------------------

    def send(
        self,
        command: bytes,
        take: "Callable[[object, bool], None]",
        *,
        there_ns: int | None = None,
        back_ns: int | None = None,
    ) -> None:
        """Have a command carried out, and the reply taken; None: after ``delay_ns``.

        Whoever takes it is told as well whether what was there had been lost by then.
        """
        there = self.delay_ns if there_ns is None else there_ns
        back = self.delay_ns if back_ns is None else back_ns

        def arrive() -> None:
            was_lost = self.server.has_lost(command)
            reply = self.server.carry_out(command, self.now_ns)
            self.at(
                self.now_ns + back, lambda: self.heard(lambda: take(reply, was_lost))
            )

        self.at(self.now_ns + there, arrive)

    def request(self, _slot: int, command: bytes) -> Answer:
        """Send a command beside the load."""
        if not self.is_reachable:
            raise ConnectionRefusedError
        answer = Answer()
        self.send(command, lambda reply, _: answer.set(reply))
        return answer

    def fill(self) -> None:
        """Write all keys before the load, as ``probe.prefill`` does."""
        for number in self.keys.space.owned():
            _, command, version = self.keys.make_write(number)
            assert self.server.carry_out(command, self.now_ns) == b"OK"
            self.keys.remember(number, version)
            self.keys.record(number).found(self.now_ns, self.now_ns)

    def write(self, number: int, **delays: int) -> int:
        """Write a key; return the version. It is acknowledged by its reply."""
        slot, command, version = self.keys.make_write(number)
        record = self.keys.record(number)
        assert record.slot == slot
        record.begin_write(version)
        value = self.keys.content.encode(number, version)
        self.send(command, lambda _, __: record.acked(version, value), **delays)
        return version

    def read(
        self, number: int, judge: "Callable[[Arrival, object, bool], None]"
    ) -> None:
        """Read a key, and have the reply judged."""
        record = self.keys.record(number)
        arrival = Arrival(
            self.now_ns,
            ScopeRecorder(Scope("tcp", "0001", OpKind.READ)),
            0,
            OpKind.READ,
            record,
            record.slot,
            record.get,
            record.value,
            record.acked_version,
            record.value,
            sent=self.now_ns,
        )
        self.send(record.get, lambda reply, was_lost: judge(arrival, reply, was_lost))

    def is_right(self, arrival: Arrival, reply: object) -> bool:
        """Judge a reply."""
        return is_right(self.keys.content, arrival, reply, self.keys)


@contextmanager
def rig(**lane: object) -> Iterator[Rig]:
    """Return a share of a lane whose clocks show virtual time."""
    made: list[Rig] = []

    def now_ns() -> int:
        return made[0].now_ns if made else START_NS

    with (
        patch.object(keys_module, "boot_now_ns", now_ns),
        patch.object(keys_module, "mono_now_ns", now_ns),
        patch.object(renewing_module, "boot_now_ns", now_ns),
        patch.object(renewing_module, "mono_now_ns", now_ns),
    ):
        made.append(Rig(**lane))
        yield made[0]
