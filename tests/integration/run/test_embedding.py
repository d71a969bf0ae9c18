"""The package in a program of somebody else's, whose event loop is asyncio's own."""

import asyncio
from pathlib import Path

from loadprobe.config.keys import Config, Http, Lane, Output, Target
from loadprobe.control.provider.shared import SharedApi
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.run.launch import RunOptions, run_load
from loadprobe.run.preflight import preflight
from tests.support.bad_input import ONE_NODE, SECRET


def test_plain_asyncio(tmp_path: Path) -> None:
    """Without uvloop all is found to be well, by TCP and by TLS, and is measured."""
    asyncio.run(check_and_run(tmp_path))


async def check_and_run(folder: Path) -> None:
    """Check a cluster, and put load on it."""
    password = folder / "password"
    password.write_text(f"{SECRET}\n")
    async with LocalCluster(**ONE_NODE, password=SECRET) as cluster:
        target = Target(
            host=cluster.host,
            port=cluster.port,
            tls_port=cluster.tls_port,
            ca_file=str(cluster.ca_file),
            password_file=str(password),
        )
        config = Config(
            target=target,
            lanes=tuple(
                Lane(name, tls=name == "tls", workers=4, rate_per_s=100, keys=100)
                for name in ("tcp", "tls")
            ),
            http=Http(listen="127.0.0.1:0"),
            output=Output(dir=str(folder / "runs")),
        )
        async with SharedApi() as shared:
            checks = [check async for check in preflight(config, shared)]
        failed = [check for check in checks if not check.passed]
        assert failed == []
        assert await run_load(config, RunOptions(duration_s=1.0)) == 0
