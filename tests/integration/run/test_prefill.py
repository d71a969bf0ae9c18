"""Prefill: reported while it goes on, and resumed where it ended."""

from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import config_of, measuring, small_lane, target_of


async def test_prefill_is_resumable() -> None:
    """A first start writes every key and says so; a second one writes none."""
    lanes = [small_lane("one", keys=3000, read_ratio=1.0), small_lane("two", keys=700)]
    async with LocalCluster(shards=2, replicas_per_shard=0, tls=False) as cluster:
        config = config_of(target_of(cluster), *lanes)
        async with measuring(config) as first:
            pass
        async with measuring(config) as second:
            pass
    written = [prefilled.written for prefilled in first.prefills]
    assert len(written) > 10
    assert written == sorted(written)
    assert written[-1] == 3700
    for trial in (first, second):
        done = [prefilled.done for prefilled in trial.prefills]
        assert done == sorted(done)
        last = trial.prefills[-1]
        assert (last.done, last.total) == (3700, 3700)
        assert trial.failed == 0
    assert second.prefills[-1].written == 0
