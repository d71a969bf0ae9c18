"""A shard whose nodes are replaced while the cluster is slow to vote."""

import pytest

from loadprobe.local import replacement
from loadprobe.local.cluster import LocalCluster
from loadprobe.local.node import LocalNode
from loadprobe.local.replacement import replace_shard


async def test_a_vote_that_comes_late_is_as_good_as_one_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Just before the takeover without a vote, which the server then refuses."""
    seen: list[bool] = []
    is_promoted = replacement._is_promoted

    async def too_early(node: LocalNode, *, within_s: float) -> bool:
        seen.append(await is_promoted(node, within_s=20.0))
        return len(seen) > 1

    monkeypatch.setattr(replacement, "_is_promoted", too_early)
    async with LocalCluster(shards=2, tls=False, name="late") as cluster:
        shard = cluster.shards[0]
        old = {node.ports.plain for node in shard.nodes}
        await replace_shard(
            cluster, shard, server=None, on_step=lambda _step, _node: None
        )
        assert seen == [True]
        assert not old & {node.ports.plain for node in shard.nodes}
        primary = await cluster.primary_of(shard.node_group_id)
        assert primary in shard.nodes
