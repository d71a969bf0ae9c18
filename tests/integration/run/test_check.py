"""``check`` on a real cluster: what it examines beyond what a run needs."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadprobe.cli.check import _check
from loadprobe.config.keys import Config, Http, Lane, Output, Target
from loadprobe.local.api.name_server import NameServer
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.run.examining.names import LookedUpName, look_up
from tests.support.running import target_of, until_true

LANES = (Lane(name="tcp"), Lane(name="tls", tls=True))


def config_of(target: Target, folder: Path) -> Config:
    """Return a configuration with a lane of each transport."""
    return Config(
        target=target, lanes=LANES, http=Http(listen=""), output=Output(str(folder))
    )


async def found(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> dict[str, tuple[str, str]]:
    """Return (state, detail) of every check by name, as --json tells them."""
    await _check(config, "my.toml", None, as_json=True)
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["config"] == "my.toml"
    assert document["is_ready"]
    names = [check["name"] for check in document["checks"]]
    assert len(set(names)) == len(names)
    return {
        check["name"]: (check["state"], check["detail"]) for check in document["checks"]
    }


async def test_every_node_is_visited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By both transports; a node that is gone is a warning, and keeps no run away."""
    async with LocalCluster(shards=2, replicas_per_shard=1) as cluster:
        config = config_of(target_of(cluster), tmp_path)
        checks = await found(config, capsys)
        for label in ("tcp", "tls"):
            agreed = "all 4 answer, and see the same owners of all slots"
            assert checks[f"{label} nodes"] == ("pass", agreed)
            assert " ms at least (nearest node; " in checks[f"{label} distance"][1]
        state, detail = checks["tls certificates"]
        assert state == "pass"
        assert detail.startswith("TLSv1.3; localhost, 127.0.0.1, ")
        assert "signed by loadprobe local ca; the first of 4 to end" in detail

        gone = cluster.shards[0].nodes[1]
        assert gone is not await cluster.primary_of("0001")
        await gone.kill()
        checks = await found(config, capsys)
        state, detail = checks["tcp nodes"]
        assert state == "warn"
        assert f":{gone.ports.plain}" in detail
        assert "a run begins all the same" in detail


async def test_without_cluster_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The primary is asked for its replicas, and these are visited."""
    async with LocalCluster(
        shards=1, replicas_per_shard=1, cluster_mode=False, tls_mode="none"
    ) as cluster:
        config = config_of(target_of(cluster), tmp_path)
        config = msgspec.structs.replace(config, lanes=LANES[:1])

        async def both_answer() -> bool:  # a replica that is not in step is not told
            return (await found(config, capsys))["tcp nodes"] == (
                "pass",
                "all 2 answer",
            )

        await until_true(both_answer)


async def test_a_name_is_looked_up_at_the_name_server() -> None:
    """With its TTL; an address is not looked up, nor told what is not there."""
    known = {"cache.test": ("127.0.0.1",)}
    async with NameServer(known.get, ttl_s=15) as server:
        at = server.address
        name = await look_up(Target(host="cache.test", name_server=at))
        assert name == LookedUpName("cache.test", (("127.0.0.1",),) * 3, 15)
        assert await look_up(Target(host="other.test", name_server=at)) is None
        assert await look_up(Target(host="127.0.0.1", name_server=at)) is None
