"""Keys that runs left behind are deleted, and nobody else's."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from loadprobe.config.keys import Target
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.run.cleaning import by_slot, clean, prefixes
from tests.support.running import config_of, measuring, small_lane, target_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
FOREIGN = ("app:{1}:x", "lp:tcp2:{1}:0", "lp:tcp:other{1}", "xlp:tcp:{1}:0")
_SLOT = 9842
"""Of the tag "1" (CLUSTER KEYSLOT)."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Start two shards without replicas and without TLS."""
    async with LocalCluster(shards=2, replicas_per_shard=0, tls=False) as started:
        yield started


async def sizes(cluster: LocalCluster) -> int:
    """Return the number of keys of all primaries."""
    return sum([int(await s.nodes[0].command("DBSIZE")) for s in cluster.shards])


async def test_only_our_keys_are_deleted(cluster: LocalCluster) -> None:
    """A dry run counts what a run has written, on all primaries; then it is gone."""
    lanes = small_lane("tcp", keys=300), small_lane("sets", keys=40, multi_key=3)
    config = config_of(target_of(cluster), *lanes)
    async with measuring(config):
        pass
    told: list[int] = []
    counts = [
        await clean(config, deletes=deletes, keys_per_s=5_000, on_progress=told.append)
        for deletes in (False, True, True)
    ]
    assert counts == [420, 420, 0]
    assert told[-1] == 0
    assert await sizes(cluster) == 0


async def test_keys_of_others_are_left_alone(cluster: LocalCluster) -> None:
    """Names that only look like ours, and other lanes' keys, stay."""
    primary = next(
        shard.nodes[0]
        for shard in cluster.shards
        if any(owned.first <= _SLOT <= owned.last for owned in shard.slots)
    )
    for name in FOREIGN:
        assert await primary.command("SET", name, "1") == "OK"
    config = config_of(target_of(cluster), small_lane("tcp"))
    assert await clean(config, deletes=True, keys_per_s=100, on_progress=print) == 0
    assert await sizes(cluster) == len(FOREIGN)


async def test_a_node_that_is_not_there_is_told() -> None:
    """What was deleted before stands in the message."""
    config = config_of(Target(host="127.0.0.1", port=1), small_lane("tcp"))
    with pytest.raises(PreflightError, match="0 keys were deleted before"):
        await clean(config, deletes=True, keys_per_s=100, on_progress=print)


async def test_keys_with_one_tag_go_together() -> None:
    """A command is about keys of one slot only."""
    keys = [b"lp:a:{1}:0.0", b"lp:a:{2}:1", b"lp:a:{1}:0.1"]
    assert by_slot(keys) == [[keys[0], keys[2]], [keys[1]]]
    lanes = small_lane("b"), small_lane("c", keyspace="a"), small_lane("a")
    assert prefixes(config_of(Target(), *lanes)) == [b"lp:a:", b"lp:b:"]
