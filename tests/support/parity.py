"""Two sides with planted differences, written to, and compared in this process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from loadprobe.clock import NS_PER_MS, wall_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.parity.glimpse import Finding
from loadprobe.core.parity.report import ParityFigures
from loadprobe.core.parity.state import ParityTerms
from loadprobe.core.topology.slots import slot_of
from loadprobe.drivers.wire.bulk import BulkCommand
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.parity.opening import make_side, open_sides
from loadprobe.parity.parity import Parity, ParityPlan
from loadprobe.parity.side import Side
from loadprobe.parity.state_file import load_state
from tests.support.planted import Planted, Words, same, same_end, sent
from tests.support.running import config_of, small_lane, target_of

_TOGETHER = 300
USER, PASSWORD = "parity", "parity-secret"
ALLOWED = ("+@read", "+info", "+ping", "+asking", "+cluster|slots", "+cluster|nodes")
"""What docs/parity.md says that the user has to be allowed."""


async def owner_of(cluster: LocalCluster, key: str) -> LocalNode:
    """Return the primary that has a key."""
    if not cluster.cluster_mode:
        return await cluster.primary_of(cluster.shards[0].node_group_id)
    slot = slot_of(key.encode())
    for shard in cluster.shards:
        if any(owned.first <= slot <= owned.last for owned in shard.slots):
            return await cluster.primary_of(shard.node_group_id)
    raise AssertionError(f"nobody has slot {slot}")


async def write(cluster: LocalCluster, commands: Iterable[Words]) -> None:
    """Send commands to whoever has their keys."""
    owners: dict[int, LocalNode] = {}
    parts: dict[LocalNode, list[Words]] = {}
    for words in commands:
        slot = slot_of(str(words[1]).encode()) if cluster.cluster_mode else 0
        if slot not in owners:
            owners[slot] = await owner_of(cluster, str(words[1]))
        parts.setdefault(owners[slot], []).append(sent(words))
    for node, part in parts.items():
        for begin in range(0, len(part), _TOGETHER):
            replies = await node.pipeline(part[begin : begin + _TOGETHER])
            refused = [each for each in replies if isinstance(each, Exception)]
            assert not refused, refused[0]


def sames(strings: int, kinds: Iterable[str]) -> list[Planted]:
    """Return keys that are the same on both sides, of every kind."""
    at_ms = wall_now_ns() // NS_PER_MS + 900_000
    return [
        *(same("string", number) for number in range(strings)),
        *(same(kind, 90_000 + n) for kind in kinds for n in range(3)),
        *(same_end(number, at_ms) for number in range(20)),
    ]


async def plant(
    source: LocalCluster, target: LocalCluster, keys: Iterable[Planted]
) -> None:
    """Write keys to both sides."""
    keys = list(keys)
    await write(source, (words for each in keys for words in each.source))
    await write(target, (words for each in keys for words in each.target))


async def allow_user(cluster: LocalCluster) -> None:
    """Let a user in that may only do what a comparison needs."""
    for node in cluster.nodes:
        words = ("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", *ALLOWED)
        assert await node.command(*words) == "OK"


def target_for(cluster: LocalCluster, password_file: Path) -> Target:
    """Return the target of that user."""
    user = {"username": USER, "password_file": str(password_file)}
    return target_of(cluster, **user)


async def open_pair(source: LocalCluster, target: LocalCluster) -> tuple[Side, Side]:
    """Connect to both sides as a user who may do anything."""
    one, other = (
        make_side(name, config_of(target_of(each), small_lane()))
        for name, each in (("source", source), ("target", target))
    )
    await open_sides(one, other)
    return one, other


@asynccontextmanager
async def comparing(
    source: Target,
    target: Target,
    *,
    state: Path | None = None,
    settle_s: float = 0.3,
    keys_per_s: int = 0,
    prefix: bytes = b"",
    sample: float = 1.0,
) -> AsyncIterator[Parity]:
    """Give a comparison that was not begun yet."""
    sides = [
        make_side(name, config_of(each, small_lane()))
        for name, each in (("source", source), ("target", target))
    ]
    one, other = sides
    terms = ParityTerms(one.where, other.where, prefix, sample, 2.0)
    plan = ParityPlan(
        terms=terms, keys_per_s=keys_per_s, settle_s=settle_s, state_path=state
    )
    try:
        await open_sides(one, other)
        before = load_state(state, terms) if state is not None else None
        yield Parity(one, other, plan, before)
    finally:
        for side in sides:
            side.close()


async def compared(source: Target, target: Target, **more: object) -> ParityFigures:
    """Compare to the end."""
    async with comparing(source, target, **more) as parity:  # type: ignore[arg-type]
        await parity.run()
        return parity.figures


def found(figures: ParityFigures) -> dict[str, Finding]:
    """Return the differences that were found, by key; all are kept as examples."""
    kinds = {kind.value: kind for kind in Finding}
    return {
        example.key.decode(): kinds[example.kind]
        for example in figures.tally.examples
        if example.kind in kinds
    }


def wanted(keys: Iterable[Planted]) -> dict[str, Finding]:
    """Return the differences that are to be found."""
    return {e.key: e.finding for e in keys if e.finding is not Finding.SAME}


class Writers:
    """An application that writes to the source, and what copies it to the target.

    It sets, ends, deletes and fills hot keys, the same on both sides, one side a little
    later than the other.

    Args:
        source: one side, of a user who may write.
        target: the other side.
    """

    def __init__(self, source: Side, target: Side) -> None:
        self._sides = source, target
        self._is_over = False
        self.written: Counter[int] = Counter()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while the block runs; then both sides are the same."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._write(number)) for number in range(4)]
            yield
            self._is_over = True
            await asyncio.wait(tasks)

    async def _write(self, number: int) -> None:
        while not self._is_over:
            turn = self.written[number]
            key = f"hot:{number}:{turn % 50}"
            commands: list[Words] = [
                ("SET", key, turn),
                ("PEXPIRE", key, 200 + turn % 1000),
                ("HSET", f"{key}:hash", f"f{turn % 200}", turn),
                ("RPUSH", f"{key}:list", turn),
                ("LTRIM", f"{key}:list", -80, -1),
            ]
            if turn % 7 == 0:
                commands.append(("DEL", f"{key}:hash"))
            for side in self._sides:
                for words in commands:
                    await _send(side, words)
                await asyncio.sleep(0.01)
            self.written[number] += 1


async def _send(side: Side, words: Words) -> None:
    first, key, *rest = (str(word).encode() for word in words)
    ((reply,),) = await side.ask([key], BulkCommand((first,), tuple(rest)))
    assert not isinstance(reply, Exception), reply
