"""All planted differences are found, and none is invented, on real servers.

The source is one server, the target a cluster; where valkey-server is there (it comes
with the dev extra), the source is one, and the target another engine.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from loadprobe.config.keys import Target
from loadprobe.core.parity import tally
from loadprobe.core.parity.coverage import parse_own_slots, slots_of
from loadprobe.core.parity.glimpse import Finding
from loadprobe.core.topology.slots import slot_of
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.servers import find_engine
from tests.support.parity import (
    PASSWORD,
    Writers,
    allow_user,
    compared,
    comparing,
    found,
    open_pair,
    plant,
    sames,
    target_for,
    wanted,
)
from tests.support.planted import KINDS, planted
from tests.support.running import close_slots, open_slots, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANTED = list(planted(200))
SAME = sames(1200, KINDS)


@pytest.fixture(autouse=True)
def _all_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_EXAMPLES", 10_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def single() -> AsyncIterator[LocalCluster]:
    """Start a server of another engine, if there is one."""
    try:
        server = find_engine("valkey", None)
    except PreflightError:
        server = None
    async with LocalCluster(
        shards=1,
        replicas_per_shard=0,
        cluster_mode=False,
        tls=False,
        server=server.path if server else None,
        name="source",
    ) as started:
        await allow_user(started)
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sharded() -> AsyncIterator[LocalCluster]:
    """Start a cluster of two shards."""
    async with LocalCluster(
        shards=2, replicas_per_shard=0, tls=False, name="target"
    ) as started:
        await allow_user(started)
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sides(
    single: LocalCluster,
    sharded: LocalCluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Target, Target]:
    """Plant the differences; return both sides, of a user who may only read."""
    await plant(single, sharded, [*PLANTED, *SAME])
    secret = tmp_path_factory.mktemp("parity") / "password"
    secret.write_text(PASSWORD + "\n")
    return target_for(single, secret), target_for(sharded, secret)


async def test_all_planted_differences_are_found(sides: tuple[Target, Target]) -> None:
    """Each with its kind, and nothing else; the user may do no more than read."""
    figures = await compared(*sides)
    assert found(figures) == wanted(PLANTED)
    assert figures.tally.changing == 0
    assert figures.is_over
    assert figures.unseen == 0
    assert figures.source_keys == len(SAME) + 4 * 200
    assert figures.target_keys == len(SAME) + 4 * 200


async def move_slots(
    cluster: LocalCluster, moved: list[list[int]], is_over: asyncio.Event
) -> int:
    """Move slots between two shards, a few at a time, until told.

    Returns:
        How often some were moved.
    """
    old, new = (shard.nodes[0] for shard in cluster.shards)
    moves = 0
    while not is_over.is_set():
        for slots in moved:
            await open_slots(slots, cluster, old, new)
            await asyncio.sleep(0.02)
            await close_slots(slots, cluster, old, new)
            moves += 1
        old, new = new, old
    return moves


async def test_none_is_invented_under_load(
    single: LocalCluster, sharded: LocalCluster, sides: tuple[Target, Target]
) -> None:
    """While both sides are written to and slots move, what differs is what did before.

    Hot keys may be told as changing, and those that are past it have settled.
    """
    pair = await open_pair(single, sharded)
    writers = Writers(*pair)
    first = [
        slot
        for owned in sharded.shards[0].slots
        for slot in range(owned.first, owned.last)
    ]
    moved = [first[at : at + 20] for at in range(0, 100, 20)]
    is_over = asyncio.Event()
    try:
        async with writers.running():
            moving = asyncio.create_task(move_slots(sharded, moved, is_over))
            figures = await compared(*sides, keys_per_s=2500)
            is_over.set()
            assert await moving > 5
    finally:
        for side in pair:
            side.close()
    assert writers.written.total() > 50
    assert found(figures) == wanted(PLANTED)
    assert figures.is_over
    assert figures.unseen == 0


SWAPPED = {
    Finding.MISSING_IN_TARGET: Finding.MISSING_IN_SOURCE,
    Finding.MISSING_IN_SOURCE: Finding.MISSING_IN_TARGET,
}


async def test_slots_in_between_are_asked_for_and_walked_again(
    sharded: LocalCluster, sides: tuple[Target, Target]
) -> None:
    """While slots are open their keys are read by ASK; their walk is not over before.

    The cluster is the source here.
    """
    old, new = (shard.nodes[0] for shard in sharded.shards)
    nodes = await old.command("CLUSTER", "NODES")
    owned = parse_own_slots(str(nodes).encode())
    slots = sorted({slot_of(each.key.encode()) for each in PLANTED})
    moved = [slot for slot in slots if owned >> slot & 1][:40]
    await open_slots(moved, sharded, old, new)
    single, cluster = sides
    async with comparing(cluster, single, keys_per_s=0) as parity:
        running = asyncio.create_task(parity.run())
        coverage = parity._coverages[0]
        await until(lambda: coverage.rounds > 1, what="rounds")
        assert coverage.uncovered == slots_of((slot, slot) for slot in moved)
        await close_slots(moved, sharded, old, new)
        await running
        figures = parity.figures
    expected = {key: SWAPPED.get(each, each) for key, each in wanted(PLANTED).items()}
    assert found(figures) == expected
    assert figures.unseen == 0


async def test_what_was_begun_is_gone_on_with(
    sides: tuple[Target, Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended at any moment, it goes on from its state, and nothing counts twice."""
    monkeypatch.setattr("loadprobe.parity.parity._SAVE_S", 0.05)
    state = tmp_path / "state.json"
    looked = 0
    for share in (0.2, 0.3, 0.2):
        async with comparing(*sides, state=state, keys_per_s=4000) as parity:
            before = parity.looked
            assert before >= looked - 500 * 5, "it began anew"
            running = asyncio.create_task(parity.run())
            await asyncio.sleep(share)
            running.cancel()  # as if it were killed: nothing more is written
            with suppress(asyncio.CancelledError):
                await running
            looked = parity.looked
    figures = await compared(*sides, state=state)
    assert found(figures) == wanted(PLANTED)
    assert figures.source_keys < (len(SAME) + 4 * 200) * 1.5
