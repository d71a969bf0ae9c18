"""One connection of the wire driver: bytes in, replies matched in order to requests.

There is no Task and no Future per operation: a reply is matched to the oldest entry of
``pending`` and handed on by one call. A reply that comes after its arrival was given
up still takes its place in the order, so a timeout never costs the connection.

A failover renews hundreds of connections, and the collector of cyclic garbage is kept
from running often in a process that measures. So a connection that has ended, and its
transport, refer to each other no more: they are gone as soon as nobody needs them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from hiredis import ProtocolError, Reader, ReplyError

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.wire.sockets import Transport

SILENCE_NS = 20 * NS_PER_MS
"""A node that says nothing for longer, and then does, has *resumed*."""

_TOO_LONG = "the reply is longer than any right one"


class Replies(Protocol):
    """Takes replies that are not errors.

    Attributes:
        matched: arrivals whose reply is literally the expected one are added here.
        most_bytes: how much of a reply to an arrival is kept until its end comes; what
            is longer is wrong.
    """

    matched: list[Arrival]
    most_bytes: int

    def wake(self) -> None:
        """Take note that there is something in ``matched`` again."""

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take any other reply."""

    def unread_since(self, at_ns: int) -> int:
        """Return since when what is read now may have waited to be read."""

    def looked_since(self, at_ns: int) -> int:
        """Return a time before which what is noticed now had not come yet."""


class Pulse:
    """When a node last spoke, on whichever connection; monotonic ns, 0 if never.

    Attributes:
        last_reply_ns: when anything was received from it.
        resumed_ns: when it can have spoken at the earliest after its last silence of
            more than ``SILENCE_NS``: what it said may have waited for us to read it.
    """

    __slots__ = ("last_reply_ns", "resumed_ns")

    def __init__(self) -> None:
        self.last_reply_ns = 0
        self.resumed_ns = 0


class Owner(Protocol):
    """The node a connection belongs to."""

    pulse: Pulse

    def error_reply(self, arrival: Arrival, error: ReplyError, done_ns: int) -> None:
        """Take an error reply to an arrival."""

    def lost(self, connection: "Connection", exc: Exception | None) -> None:
        """Take the end of a connection, live or not."""


class Connection:
    """A connection to one node; an ``asyncio.Protocol`` in all but its base class.

    Args:
        owner: its node.
        replies: takes every reply that is not an error.
        free: a stack that the connection joins whenever nothing is outstanding on it
            (closed loop), or None.

    Attributes:
        alive_ns: the peer certainly lived after this time, monotonic ns: when the
            arrival was sent that it answered last, otherwise than by an error that it
            has no name for. (When the answer was read is no such
            time: it may have waited, together with the loss of the connection.)
    """

    __slots__ = (
        "_edge",
        "_feed",
        "_free",
        "_gets",
        "_has_answered",
        "_has_data",
        "_is_parsing",
        "_kept_bytes",
        "_made_ns",
        "_matched",
        "_most_bytes",
        "_owner",
        "_pulse",
        "_replied",
        "_transport",
        "_unread_since",
        "_wake",
        "alive_ns",
        "index",
        "live",
        "pending",
        "write",
    )

    def __init__(
        self, owner: Owner, replies: Replies, free: "list[Connection] | None"
    ) -> None:
        self._owner = owner
        self._pulse = owner.pulse
        self._matched = replies.matched
        self._wake = replies.wake
        self._replied = replies.replied
        self._unread_since = replies.unread_since
        self._free = free
        reader = Reader(replyError=ReplyError)
        self._feed = reader.feed
        self._gets = reader.gets
        self._has_data = reader.has_data
        self._is_parsing = False
        self._kept_bytes = 0
        self._edge = resp.LINE_END
        self._most_bytes = replies.most_bytes
        self._transport: Transport | None = None
        self.index = -1
        self._made_ns: int = mono_now_ns()
        self._has_answered = False
        self.alive_ns: int = self._made_ns
        self.live = False
        self.pending: deque[Arrival | asyncio.Future[object]] = deque()
        self.write: Callable[[bytes], None] = _unwritable

    def __repr__(self) -> str:
        state = "live" if self.live else "closed"
        return f"<Connection {self.index} {state}, {len(self.pending)} pending>"

    def date(self, since_ns: int) -> None:
        """Take note of when the attempt to connect began: the peer lived after that.

        It may have cut the connection before we knew that it was open.
        """
        self._made_ns = self.alive_ns = since_ns

    def connection_made(self, transport: Transport) -> None:
        """Keep the transport (asyncio callback)."""
        self._transport = transport
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        """Match replies to what is pending (asyncio callback, the hot path).

        Nearly every reply is known beforehand to the last byte, and comparing bytes
        takes a tenth of the time of parsing them.
        """
        now = mono_now_ns()
        pulse = self._pulse
        if now - pulse.last_reply_ns > SILENCE_NS:
            pulse.resumed_ns = self._unread_since(now)
        pulse.last_reply_ns = now
        if self._is_parsing:
            self._parse(data, now)
            return
        pending, matched = self.pending, self._matched
        at, size = 0, len(data)
        while pending:
            before = len(matched)
            for entry in pending:
                if not isinstance(entry, Arrival):
                    break
                expect = entry.expect
                if (at or data != expect) and not data.startswith(expect, at):
                    break
                at += len(expect)
                entry.done = now
                matched.append(entry)
                if at == size:
                    break
            count = len(matched) - before
            if count:
                self._note_matched(count)
                if not before:
                    self._wake()
                if at == size:
                    return
                continue
            # Looked into alone: most of those behind it are the expected ones again.
            end = resp.end_of_reply(data, at)
            if end < 0:
                break
            if not self._parse(data[at:end], now) or end == size:
                return
            at = end
        self._parse(data[at:], now)

    def _note_matched(self, count: int) -> None:
        """Take note that the oldest of what is pending got the expected replies."""
        pending = self.pending
        self.alive_ns = self._matched[-1].sent
        if count < len(pending):
            for _ in range(count):
                pending.popleft()
            return
        pending.clear()
        if self._free is not None:
            self._free.append(self)

    def _parse(self, data: bytes, now: int) -> bool:
        """Match replies that have to be looked into; return False if that is the end.

        The parser keeps what is incomplete, so from here on it gets all there is until
        a reply ends where the data does.
        """
        before = self._edge if self._is_parsing else resp.LINE_END
        if resp.announces_too_much(data, before):
            self._refuse(now)
            return False
        size = len(data)
        kept_bytes = self._kept_bytes + size if self._is_parsing else size
        self._feed(data)
        owner = self._owner
        gets = self._gets
        pending = self.pending
        while True:
            # Asked before: of an array that is incomplete it may have taken all.
            if not self._has_data():
                self._is_parsing = False
                return True
            try:
                reply = gets()
            # Whoever answers there speaks something else; the parser has no name for a
            # map whose keys cannot be keys.
            except (ProtocolError, TypeError):
                self.abort()
                return False
            if reply is False:
                self._is_parsing = True
                self._kept_bytes, self._edge = kept_bytes, resp.edge_of(data, before)
                return self._has_room(now)
            kept_bytes = size  # at most: it is not told where the reply ended
            if not pending:
                # An error nobody asked for ("max number of clients reached"): the
                # server closes the connection after it, and so do we.
                self.abort()
                return False
            entry = pending.popleft()
            if isinstance(entry, Arrival):
                if self._free is not None and not pending:
                    self._free.append(self)
                if reply.__class__ is ReplyError:
                    if not _turns_away(reply):
                        self.alive_ns = entry.sent
                    owner.error_reply(entry, reply, now)
                else:
                    self.alive_ns = entry.sent
                    self._replied(entry, reply, now)
            else:
                self._answer(entry, reply)

    def _answer(self, asked: "asyncio.Future[object]", reply: object) -> None:
        """Give a reply to whoever asked for it."""
        if not _turns_away(reply):
            self._has_answered = True
        if self._free is not None and not self.pending and self.live:
            self._rejoin()
        if not asked.done():
            asked.set_result(reply)

    def _has_room(self, now: int) -> bool:
        """Tell whether the rest of a reply is waited for; else the connection ends."""
        is_ours = bool(self.pending) and not isinstance(self.pending[0], Arrival)
        most_bytes = resp.MOST_MAP_BYTES if is_ours else self._most_bytes
        if self._kept_bytes <= most_bytes:
            return True
        self._refuse(now)
        return False

    def _refuse(self, now: int) -> None:
        """End the connection amidst a reply that cannot be right."""
        entry = self.pending.popleft() if self.pending else None
        self.abort()
        if isinstance(entry, Arrival):
            self.alive_ns = entry.sent
            self._replied(entry, resp.OVERLONG, now)
        elif entry is not None and not entry.done():
            entry.set_exception(ConnectionResetError(_TOO_LONG))
            entry.exception()  # if nobody waits any more, that is no defect

    def _rejoin(self) -> None:
        assert self._free is not None
        if self not in self._free:
            self._free.append(self)

    def eof_received(self) -> None:
        """Let the transport close (asyncio callback, of the loop's transports only)."""

    def pause_writing(self) -> None:
        """Write on: arrivals are sent when they are due (asyncio callback)."""

    def resume_writing(self) -> None:
        """Take note of nothing: nothing was paused (asyncio callback)."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the connection (asyncio callback)."""
        self.write = _unwritable
        self._transport = None
        self._owner.lost(self, exc)

    def request(self, command: bytes) -> "asyncio.Future[object]":
        """Send a command whose reply is awaited; an error reply is a result, too.

        Raises:
            ConnectionResetError: (from the future) the connection ended before.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.pending.append(future)
        self.write(command)
        return future

    def request_all(self, commands: Sequence[bytes]) -> "list[asyncio.Future[object]]":
        """Send commands at once; see ``request`` for their replies."""
        create_future = asyncio.get_running_loop().create_future
        futures: list[asyncio.Future[object]] = [create_future() for _ in commands]
        self.pending.extend(futures)
        self.write(b"".join(commands))
        return futures

    @property
    def has_spoken(self) -> bool:
        """Tell whether the peer ever answered anything, but that it has no room."""
        return self._has_answered or self.alive_ns > self._made_ns

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    @property
    def is_closing(self) -> bool:
        """Tell whether the end was asked for or has come."""
        return self._transport is None or self._transport.is_closing()


def _turns_away(reply: object) -> bool:
    """Tell whether a reply may be what a server says that hangs up next.

    It has no name for that: "ERR max number of clients reached".
    """
    is_error = reply.__class__ is ReplyError
    return is_error and classify_reply(str(reply)) is ErrorClass.OTHER


def _unwritable(_command: bytes) -> None:
    raise ConnectionResetError("written to a connection that is not open")
