"""A password that is read again is tried at the endpoint before anybody uses it."""

from pathlib import Path

from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.reloaded import SECRET, SUCCESS, ReloadStage
from tests.support.running import target_of


async def test_a_password_that_the_target_refuses(tmp_path: Path) -> None:
    """Nothing changes by it; once it is valid there it is taken."""
    async with LocalCluster(shards=1, replicas_per_shard=0, password=SECRET) as cluster:
        target = target_of(cluster)
        assert target.port is not None
        stage = ReloadStage(tmp_path, port=target.port)
        kept = stage.held.password
        (tmp_path / "password").write_text("another-one")
        refused = await stage.reloading.reload(by="signal")
        assert not refused.is_done
        assert "target.password" in refused.text
        assert "make it valid there first" in refused.text
        assert "another-one" not in refused.text
        assert (stage.held.password, stage.swapped) == (kept, [])
        assert stage.gauges[SUCCESS] == 0.0
        (node,) = cluster.nodes
        await node.command("CONFIG", "SET", "requirepass", "another-one")
        assert (await stage.reloading.reload(by="signal")).is_done
        assert stage.held.password == "another-one"
