"""New connections at a low rate, judged like arrivals: connect, log in, PING, close.

Established connections may be served for hours while nobody gets a new one, and the
reverse. The schedule is one of its own: in every period each shard's primary is
connected to once, the shards evenly apart. With several processes they take turns.
"""

import asyncio

from hiredis import ReplyError

from loadprobe.clock import NEVER_NS, NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.config.keys import Probe
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.recorder import ScopeRecorder, is_calm
from loadprobe.core.topology.topology import Shard
from loadprobe.drivers import resp
from loadprobe.drivers.errors import (
    REPLY_CLASSES,
    classify_lost_connection,
    classify_reply,
)
from loadprobe.drivers.wire.dial import DialFailure
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.drivers.wire.greeting import Greeting
from loadprobe.probe.deadlines import Deadlines
from loadprobe.probe.lag import Lag
from loadprobe.probe.messages import ScopeBlock
from loadprobe.probe.orders import Share

_SAID_NO = frozenset({*REPLY_CLASSES.values(), ErrorClass.OTHER})

_Judged = tuple[Outcome, ErrorClass, int, tuple[int, int]]
"""Outcome, class, when the reply was parsed (or -1), evidence."""


class Connects:
    """The new connections of a share of a lane.

    Args:
        share: which lane, and which part of it.
        driver: knows the shards, and how to connect.
        probe: when an attempt is given up, and when we call ourselves blind.
        lag: when the loop of this process was not looking.
    """

    def __init__(
        self, share: Share, driver: WireDriver, probe: Probe, lag: Lag
    ) -> None:
        lane = share.lane
        self.name = lane.name
        self._driver = driver
        self._lag = lag
        self._deadlines = Deadlines(
            lane.deadline_ms * NS_PER_MS, probe.settle_ms * NS_PER_MS
        )
        self._stall_ns = probe.stall_ms * NS_PER_MS
        self._period_ns = round(NS_PER_S / lane.connects_per_s)
        self._turn_ns = self._period_ns * share.slice_count
        self._first_turn_ns = self._period_ns * share.slice_index
        self._recorders: dict[str, ScopeRecorder] = {}
        self._group: asyncio.TaskGroup | None = None
        self._start_ns = 0
        self._stop_ns = NEVER_NS
        self._round_ns = NEVER_NS
        self._queue: list[tuple[int, str]] = []
        self._outstanding: dict[int, int] = {}
        self._number = 0

    def change_deadline(self, from_ns: int, deadline_ns: int) -> None:
        """Let attempts that are due from a time on have another deadline."""
        self._deadlines.change(from_ns, deadline_ns)

    def use(self, driver: object) -> None:
        """Connect to the nodes that another driver of the lane knows."""
        if isinstance(driver, WireDriver):
            self._driver = driver

    # --- schedule ----------------------------------------------------------------

    def join(self, group: asyncio.TaskGroup) -> None:
        """Connect in tasks of a group."""
        self._group = group

    def start(self, schedule_start_ns: int, first_due_ns: int) -> None:
        """Begin at ``first_due_ns``; due times count from ``schedule_start_ns``."""
        self._start_ns = schedule_start_ns + self._first_turn_ns
        self._go_on_from(first_due_ns)

    def stop(self, at_ns: int) -> None:
        """Make no attempt due at or after a time."""
        self._stop_ns = at_ns
        self._queue = [(due, shard) for due, shard in self._queue if due < at_ns]

    def _go_on_from(self, at_ns: int) -> None:
        """Let the first turn at or after a time be the next one."""
        turns = max(0, -(-(at_ns - self._start_ns) // self._turn_ns))
        self._round_ns = self._start_ns + turns * self._turn_ns

    def _next_ns(self) -> int:
        due_ns = self._queue[0][0] if self._queue else self._round_ns
        return due_ns if due_ns < self._stop_ns else NEVER_NS

    def issue_due(self, now_ns: int) -> tuple[int, None]:
        """Begin what is due, and return when to be called next.

        What is overdue by more than the stall threshold is left out: we were blind.
        """
        if self._deadlines.is_changing:
            self._deadlines.forget(now_ns)
        while (next_ns := self._next_ns()) <= now_ns:
            if now_ns - next_ns > self._stall_ns:
                self._queue.clear()
                self._go_on_from(now_ns)
                continue
            if not self._queue:
                self._begin_round()
                continue
            due_ns, name = self._queue.pop(0)
            shard = self._shards().get(name)
            if shard is not None:
                assert self._group is not None
                self._number += 1
                self._outstanding[self._number] = due_ns
                self._group.create_task(self._connect(self._number, due_ns, shard))
        return next_ns, None

    def _begin_round(self) -> None:
        names = sorted(self._shards())
        apart_ns = self._period_ns // max(1, len(names))
        self._queue = [
            (due_ns, name)
            for i, name in enumerate(names)
            if (due_ns := self._round_ns + i * apart_ns) < self._stop_ns
        ]
        self._round_ns += self._turn_ns

    def _shards(self) -> dict[str, Shard]:
        topology = self._driver.topology
        return {} if topology is None else {s.name: s for s in topology.shards}

    # --- one attempt ---------------------------------------------------------------

    async def _connect(self, number: int, due_ns: int, shard: Shard) -> None:
        sent_ns = mono_now_ns()
        judged = await self._attempt(due_ns, sent_ns, shard)
        recorder = self._recorders.get(shard.name)
        if recorder is None:
            scope = Scope(self.name, shard.name, OpKind.CONNECT)
            recorder = self._recorders[shard.name] = ScopeRecorder(scope)
        outcome, error, done_ns, evidence = judged
        if outcome is Outcome.SERVED:
            recorder.add_served(due_ns, sent_ns, done_ns)
        else:
            recorder.add_failure(
                Failure(due_ns, sent_ns, done_ns, outcome, error, *evidence)
            )
        del self._outstanding[number]

    async def _attempt(self, due_ns: int, sent_ns: int, shard: Shard) -> _Judged:
        dialer = self._driver.dialer
        host, port = shard.primary.host, shard.primary.port
        greeting: Greeting | None = None
        try:
            left_ns = due_ns + self._deadlines.give_up_ns - sent_ns
            async with asyncio.timeout(left_ns / NS_PER_S):
                result = await dialer.dial(host, port, Greeting)
                if isinstance(result, DialFailure):
                    return self._judge_failure(result)
                greeting = result
                reply = await greeting.request(resp.PING)
        except TimeoutError:
            return self._judge_silence(sent_ns, is_open=greeting is not None)
        except OSError as exc:
            outcome, error = classify_lost_connection(exc)
            return outcome, error, -1, (sent_ns, mono_now_ns())
        finally:
            if greeting is not None:
                greeting.close()
        return self._judge_reply(reply, due_ns, sent_ns, mono_now_ns())

    def _judge_failure(self, failure: DialFailure) -> _Judged:
        evidence = failure.start_ns, failure.end_ns
        if failure.error in _SAID_NO:
            return Outcome.REFUSED, failure.error, failure.end_ns, evidence
        return Outcome.UNSENT, failure.error, -1, evidence

    def _judge_silence(self, sent_ns: int, *, is_open: bool) -> _Judged:
        now_ns = mono_now_ns()
        if not is_open:
            return Outcome.UNSENT, ErrorClass.UNREACHABLE, -1, (sent_ns, now_ns)
        evidence = now_ns, sent_ns + self._lag.recent_ns(sent_ns)
        return Outcome.UNKNOWN, ErrorClass.TIMEOUT, -1, evidence

    def _judge_reply(
        self, reply: object, due_ns: int, sent_ns: int, done_ns: int
    ) -> _Judged:
        if isinstance(reply, ReplyError):
            error = classify_reply(str(reply))
            return Outcome.REFUSED, error, done_ns, (sent_ns, done_ns)
        if reply != resp.PONG:
            return Outcome.WRONG, ErrorClass.VALUE, done_ns, (sent_ns, done_ns)
        # A reply that came in time and waited for us to read it is not late.
        came_ns = self._lag.unread_since(done_ns)
        if came_ns - due_ns <= self._deadlines.of(due_ns):
            return Outcome.SERVED, ErrorClass.NONE, done_ns, (0, 0)
        evidence = came_ns, sent_ns + self._lag.recent_ns(sent_ns)
        return Outcome.LATE, ErrorClass.LATE, done_ns, evidence

    # --- reporting -----------------------------------------------------------------

    def watermark_ns(self, now_ns: int) -> int:
        """Return a time before which every attempt that was due has ended."""
        next_ns = min(now_ns, self._stop_ns, self._next_ns())
        return min(self._outstanding.values(), default=next_ns)

    @property
    def is_drained(self) -> bool:
        """Tell whether nothing is due and nothing is outstanding."""
        return self._next_ns() == NEVER_NS and not self._outstanding

    def is_calm(self, most: int) -> bool:
        """Tell whether few ended since the last blocks, and all well."""
        return is_calm(self._recorders.values(), most)

    def take_blocks(self) -> list[ScopeBlock]:
        """Return what ended since the last call."""
        return ScopeBlock.take(self._recorders.values())


def make_connects(
    share: Share, driver: object, probe: Probe, lag: Lag
) -> Connects | None:
    """Return the new connections of a lane, None if it makes none."""
    if isinstance(driver, WireDriver) and share.lane.connects_per_s:
        return Connects(share, driver, probe, lag)
    return None
