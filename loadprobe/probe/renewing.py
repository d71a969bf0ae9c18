"""Renews the TTL of keys that the load does not write often enough.

All keys are looked through, a few at a time, within an eighth of the TTL. When a third
of it has passed, the TTL of a key begins anew by ``EXPIRE``, which changes neither
value nor version. A key that has expired (nobody could renew it: a long outage, a probe
that was stopped) is written anew, if keys are filled before the load.

It is never more than a burst of a few commands, beside the load and not part of it:
what is outstanding is bounded for each shard, so one that is silent holds up no other.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from loadprobe.clock import NS_PER_S, boot_now_ns, mono_now_ns
from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.values import NIL
from loadprobe.drivers import resp
from loadprobe.probe.keys import LaneKeys

Request = Callable[[int, bytes], "asyncio.Future[object]"]

_BURST = 20
"""Keys that are looked at in one call; there are 50 calls a second."""

_MOST_OUT = 32
"""Outstanding of one shard."""

_LONGEST_NS = NS_PER_S
"""A pause that is longer is not made up for."""


class Renewing:
    """Renews the keys of a share of a lane.

    Args:
        keys: of the share.
        shard_of: returns the shard of a key.

    Attributes:
        out: commands that are outstanding, by shard.
    """

    def __init__(self, keys: LaneKeys, shard_of: Callable[[int], str]) -> None:
        self._keys = keys
        self._shard_of = shard_of
        self._request: Request | None = None
        self._is_held = False
        self._owned = keys.space.owned()
        self._next = 0
        self._looks = 0.0
        self._looked_ns: int | None = None
        self._renewed = 0
        self.out: Counter[str] = Counter()

    def attach(self, request: Request) -> None:
        """Send commands by another driver from now on."""
        self._request = request
        self.out = Counter()

    def hold(self, *, is_held: bool) -> None:
        """Send nothing, or go on."""
        self._is_held = is_held

    def stop(self) -> None:
        """Send no more, and heed no reply that is to come."""
        self._request = None

    def take_renewed(self) -> int:
        """Return how many commands were carried out since the last call."""
        renewed, self._renewed = self._renewed, 0
        return renewed

    def look(self, now_ns: int) -> None:
        """Look at the next few keys; call it every few milliseconds.

        Args:
            now_ns: on the clock of ``Lifetimes``.
        """
        keys = self._keys
        keys.lifetimes.note(now_ns, keys.version)
        if self._request is None or self._is_held:
            self._looked_ns = None
            return
        if keys.gone:
            self._write_again()
        if not keys.lifetimes.are_limited:
            return
        for number in self._take_next(now_ns):
            record = keys.known_record(number)
            if record is None or record.value is NIL:
                continue
            set_ns = max(
                keys.lifetimes.made_ns(record.acked_version), record.renewed_ns
            )
            if keys.lifetimes.is_due(set_ns, now_ns) or (
                set_ns < keys.lifetimes.moved_ns
            ):
                self._renew(record, now_ns)

    def _take_next(self, now_ns: int) -> list[int]:
        """Return the keys whose turn it is."""
        count = len(self._owned) + len(self._keys.spare)
        since_ns = now_ns if self._looked_ns is None else self._looked_ns
        self._looked_ns = now_ns
        past_ns = min(now_ns - since_ns, _LONGEST_NS)
        self._looks += count * past_ns / self._keys.lifetimes.round_ns
        taken = int(min(self._looks, _BURST, count))
        self._looks = min(self._looks - taken, _BURST)
        first, self._next = self._next, (self._next + taken) % max(count, 1)
        return [self._number(at % count) for at in range(first, first + taken)]

    def _number(self, at: int) -> int:
        owned = self._owned
        return owned[at] if at < len(owned) else self._keys.spare[at - len(owned)]

    def _write_again(self) -> None:
        keys = self._keys
        for number in [keys.gone.pop() for _ in range(min(len(keys.gone), _BURST))]:
            record = keys.record(number)
            if record.value is not NIL:
                continue  # it was written meanwhile
            slot, command, version = keys.make_write(number)
            record.begin_write(version)
            sent = self._send(number, slot, command)
            if sent is None:
                record.failed(version)
                keys.gone.add(number)
            else:
                sent.add_done_callback(partial(self._written, record, version))

    def _written(
        self, record: KeyRecord, version: int, done: "asyncio.Future[object]"
    ) -> None:
        """Take the reply to the writing of a key; without one it may happen yet."""
        if not _is_answered(done):
            self._keys.gone.add(record.index)
        elif done.result() == resp.OK:
            record.acked(version, self._keys.content.encode(record.index, version))
            self._renewed += 1
        else:
            record.failed(version)
            self._keys.gone.add(record.index)

    def _renew(self, record: KeyRecord, now_ns: int) -> None:
        command = self._keys.content.encode_renewal(record.index)
        assert command is not None, "these keys have no TTL"
        sent = self._send(record.index, record.slot, command)
        if sent is not None:
            acked = record.acked_version
            sent.add_done_callback(partial(self._answered, record, acked, now_ns))

    def _answered(
        self,
        record: KeyRecord,
        acked: int,
        made_ns: int,
        done: "asyncio.Future[object]",
    ) -> None:
        """Take the reply to EXPIRE: 1, or 0 if there is no key."""
        if self._request is None or not _is_answered(done):
            return
        reply, keys = done.result(), self._keys
        if reply == 1:
            record.renewed(made_ns, mono_now_ns())
            self._renewed += 1
        elif (
            reply == 0
            and record.acked_version == acked
            and not keys.lifetimes.is_sure(keys.set_ns(record, acked), boot_now_ns())
        ):
            # One that should be there is lost: a read will tell, or the reading back.
            keys.take_expired(record)

    def _send(
        self, number: int, slot: int, command: bytes
    ) -> "asyncio.Future[object] | None":
        """Send a command; None if it cannot be sent now."""
        assert self._request is not None
        try:
            shard = self._shard_of(number)
            if self.out[shard] >= _MOST_OUT:
                return None
            sent = self._request(slot, command)
        except (OSError, StopIteration):  # no connection, or nobody has the slot
            return None
        self.out[shard] += 1
        sent.add_done_callback(partial(_count_down, self.out, shard))
        return sent


def _count_down(out: Counter[str], shard: str, _done: "asyncio.Future[object]") -> None:
    out[shard] -= 1


def _is_answered(done: "asyncio.Future[object]") -> bool:
    return not done.cancelled() and done.exception() is None
