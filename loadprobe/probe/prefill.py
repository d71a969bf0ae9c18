"""Writing the keyspace before the load, and reading it back after it.

Prefill is resumable: a key that already holds a good value of the right size is left
as it is, so an interrupted prefill goes on where it ended.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import hiredis

from loadprobe.clock import NS_PER_S, boot_now_ns, mono_now_ns
from loadprobe.drivers import resp
from loadprobe.drivers.base import Driver
from loadprobe.errors import PreflightError
from loadprobe.probe.lane import LaneRunner

_WINDOW = 256
_GENTLE_WINDOW = 128
_PATIENCE_S = 10.0
_PAUSE_S = 0.05
_READ_BACK_NS = 8 * NS_PER_S


@dataclass(frozen=True, slots=True)
class ReadBackResult:
    """How many keys were read, which are lost (and how many by shard), and unread.

    ``expired``: of so many of those that were read nothing was there, and their TTL may
    have passed.
    """

    checked: int
    lost: Sequence[int]
    unread: int
    lost_by_shard: dict[str, int] = field(default_factory=dict)
    expired: int = 0


def _windows(keys: Iterable[int], size: int) -> Iterator[list[int]]:
    source = iter(keys)
    while window := list(islice(source, size)):
        yield window


async def prefill(
    lane: LaneRunner,
    driver: Driver,
    *,
    progress: Callable[[int, int], None],
    gently: bool = False,
) -> None:
    """Write every owned key that does not hold a good value yet.

    The TTL of those that do begins anew, or is taken away if keys are to have none.

    Args:
        lane: whose keys.
        driver: must be connected.
        progress: called with (keys done, keys written) after every window of keys.
        gently: use at most half of the time, for others are measuring.

    Raises:
        PreflightError: a key could not be written for 10 s.
    """
    done = written = 0
    size = _GENTLE_WINDOW if gently else _WINDOW
    for window in _windows(lane.keys.space.owned(), size):
        began_ns, set_ns = mono_now_ns(), boot_now_ns()
        replies = await _ask_all(driver, [*map(lane.keys.make_read, window)], "reading")
        good: list[int] = []
        missing: list[int] = []
        for key, reply in zip(window, replies, strict=True):
            (good if lane.keys.is_good(key, reply) else missing).append(key)
        missing += await _renew(lane, driver, good)
        made = [lane.keys.make_write(key) for key in missing]
        commands = [(slot, command) for slot, command, _ in made]
        replies = await _ask_all(driver, commands, "writing")
        for key, (_, _, version), reply in zip(missing, made, replies, strict=True):
            if reply != resp.OK:
                raise PreflightError(
                    f"prefilling key {lane.keys.space.key(key).decode()!r} of lane "
                    f"{lane.name!r}: the server said {reply!r}"
                )
            lane.keys.remember(key, version)
        for key in window:
            lane.keys.record(key).found(set_ns, mono_now_ns())
        done += len(window)
        written += len(missing)
        progress(done, written)
        if gently:
            await asyncio.sleep((mono_now_ns() - began_ns) / NS_PER_S)


async def _renew(lane: LaneRunner, driver: Driver, good: Sequence[int]) -> list[int]:
    """Begin the TTL of keys anew; return those that have gone since they were read."""
    keys = lane.keys
    commands = [
        (keys.record(key).slot, command)
        for key in good
        if (command := keys.content.encode_renewal(key)) is not None
    ]
    replies = await _ask_all(driver, commands, "renewing")
    if not keys.lifetimes.are_limited:
        return []  # PERSIST says 0 to a key without a TTL as well
    return [key for key, reply in zip(good, replies, strict=True) if reply != 1]


async def read_back(lane: LaneRunner, driver: Driver | None) -> ReadBackResult:
    """Read every key with an acknowledged write of this run once more.

    A key is lost when neither the acknowledged value nor a newer or indeterminate one
    is there, and its TTL has certainly not passed. Call it when replicas had time to
    catch up. It takes eight seconds at most: what cannot be read by then, or without
    any driver, counts as unread.
    """
    wanted = lane.keys.acknowledged_keys()
    checked = expired = 0
    lost: list[int] = []
    if driver is None:
        return ReadBackResult(0, (), len(wanted))
    async for key, reply in read_keys(lane, driver, [*wanted]):
        checked += 1
        is_lost = lane.keys.is_lost(key, reply, acked=wanted[key])
        expired += is_lost is None
        if is_lost:
            lost.append(key)
    by_shard = Counter(map(lane.shard_of, lost))
    unread = len(wanted) - checked
    return ReadBackResult(checked, lost, unread, dict(by_shard), expired)


async def read_keys(
    lane: LaneRunner, driver: Driver, keys: Sequence[int]
) -> AsyncIterator[tuple[int, object]]:
    """Yield keys with the replies to reads of them, for eight seconds at most."""
    end_ns = mono_now_ns() + _READ_BACK_NS
    for window in _windows(keys, _WINDOW):
        commands = [*map(lane.keys.make_read, window)]
        left_s = (end_ns - mono_now_ns()) / NS_PER_S
        try:
            async with asyncio.timeout(left_s):
                replies = await _ask_all(driver, commands, "reading back")
        except (TimeoutError, PreflightError):
            return
        for pair in zip(window, replies, strict=True):
            yield pair


async def _ask_all(
    driver: Driver, commands: Sequence[tuple[int, bytes]], doing: str
) -> list[object]:
    """Send commands together and return their replies; try again what failed."""
    replies: list[object] = [None] * len(commands)
    todo = list(range(len(commands)))
    problem = ""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while todo:
                again: list[int] = []
                waiting: list[tuple[int, asyncio.Future[object]]] = []
                for index in todo:
                    try:
                        waiting.append((index, driver.request(*commands[index])))
                    except OSError as exc:
                        problem = str(exc)
                        again.append(index)
                for index, future in waiting:
                    try:
                        reply = await future
                    except OSError as exc:
                        problem = str(exc)
                        again.append(index)
                        continue
                    if isinstance(reply, hiredis.ReplyError):
                        problem = str(reply)
                        again.append(index)
                    else:
                        replies[index] = reply
                todo = again
                if todo:
                    await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise PreflightError(
            f"{doing} keys: {len(todo)} of {len(commands)} commands were not answered "
            f"within {_PATIENCE_S:.0f} s; last problem: {problem or 'no reply'}"
        ) from None
    return replies
