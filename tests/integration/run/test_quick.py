"""A run of a URL, on real servers: with and without cluster mode, TLS and a login."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from loadprobe.cli.quick import Quick, with_cluster_mode
from tests.support.bad_input import (
    NOBODY_LISTENS,
    SECRET,
    Ended,
    ServersWithOne,
    finish,
    serving_with_one,
    start,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
SMALL = ("--for", "0.3s", "--rate", "200", "--workers", "4", "--keys", "100")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ServersWithOne]:
    """Start both once."""
    async with serving_with_one(tmp_path_factory.mktemp("quick")) as started:
        yield started


async def ended(folder: Path, *words: str, **env: str) -> Ended:
    """Run a command to its end; run folders go to a folder."""
    return await finish(
        await start(*words, env={"LOADPROBE_OUTPUT_DIR": str(folder / "runs"), **env})
    )


def config_of(folder: Path) -> dict[str, Any]:
    """Return the configuration of the one run."""
    (path,) = folder.glob("runs/*/run.json")
    config: dict[str, Any] = json.loads(path.read_bytes())["config"]
    return config


async def test_without_cluster_mode(servers: ServersWithOne, tmp_path: Path) -> None:
    """The endpoint tells that itself; a limit that is kept is exit code 0."""
    url = f"redis://{servers.single.host}:{servers.single.port}"
    done = await ended(tmp_path, "run", url, *SMALL, "--fail-if", "outage_ms > 60000")
    assert (done.code, done.err) == (0, "")
    config = config_of(tmp_path)
    assert config["target"]["cluster"] is False
    assert config["slo"]["max_outage_ms"] == 60_000
    assert config["lanes"][0]["rate_per_s"] == 200
    assert "limit max_outage_ms met: 0" in done.out
    assert done.out.splitlines()[-1].startswith("Page: ")


async def test_with_all_of_it(servers: ServersWithOne, tmp_path: Path) -> None:
    """TLS, cluster mode and a password by reference; a limit missed is exit code 3."""
    cluster = servers.closed
    done = await ended(
        tmp_path,
        *("run", f"rediss://{cluster.host}:{cluster.tls_port}", *SMALL),
        *("--cacert", str(cluster.ca_file), "--password-env", "PASSWORD"),
        *("--fail-if", "p99_ms > 0.000001", "--junit", str(tmp_path / "junit.xml")),
        PASSWORD=SECRET,
    )
    assert (done.code, done.err) == (3, "")
    config = config_of(tmp_path)
    assert config["target"]["cluster"] is True
    assert config["lanes"][0]["tls"] is True
    assert "limit p99_ms MISSED" in done.out
    junit = (tmp_path / "junit.xml").read_text()
    assert 'tests="2" failures="1"' in junit
    assert 'name="p99_ms"' in junit
    assert SECRET not in done.out


async def test_one_that_does_not_tell(servers: ServersWithOne) -> None:
    """Without a login, or nobody there for so long, all stays as it would be."""
    closed = Quick().config(f"redis://{servers.closed.host}:{servers.closed.port}")
    assert await with_cluster_mode(closed, wait_s=None) == closed
    nobody = Quick().config(f"redis://127.0.0.1:{NOBODY_LISTENS}")
    assert await with_cluster_mode(nobody, wait_s=None) == nobody
    assert await with_cluster_mode(nobody, wait_s=0.1) == nobody
