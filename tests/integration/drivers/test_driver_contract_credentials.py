"""What every driver promises of credentials that change under load, on real servers.

Open connections log in anew in line with the operations: none is closed for it, and no
operation fails or waits for another connection.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Lane, Target
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers.tls import make_context
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.passwords import set_password
from tests.support.driving import Driving, driving, strangers
from tests.support.running import small_lane, target_of, until

FIRST, SECOND = "first-of-the-test", "second-of-the-test"
SLOTS = (0, 10_923)

MakeLane = Callable[..., Lane]


OTHERS = ("valkey-py", "coredis", "valkey-glide")
DRIVERS = (
    *("wire", "redis-py"),
    # For want of time in ``make test``, not for want of quiet.
    *(pytest.param(name, marks=pytest.mark.alone) for name in OTHERS),
)


@pytest.fixture(params=DRIVERS)
def make_lane(request: pytest.FixtureRequest) -> MakeLane:
    """Return what makes a lane of each driver."""

    def make(**more: Any) -> Lane:
        return small_lane("lane", driver=request.param, workers=4, **more)

    return make


async def logins(node: LocalNode) -> int:
    """Return how often anybody logged in at a server by AUTH."""
    info = str(await node.command("INFO", "commandstats"))
    for line in info.splitlines():
        if line.startswith("cmdstat_auth:"):
            return int(line.partition("calls=")[2].partition(",")[0])
    return 0


async def some_more(drive: Driving, count: int) -> None:
    """Wait until so many more arrivals have ended."""
    wanted = len(drive.ends) + count
    await until(lambda: len(drive.ends) >= wanted, what="more ends of arrivals")


async def ids(cluster: LocalCluster) -> set[str]:
    """Return the connections of clients to all servers, by server and number."""
    return {
        f"{line.split('laddr=')[1].split()[0]} {line.split()[0]}"
        for line in await strangers(cluster)
    }


async def test_credentials_change_under_load(make_lane: MakeLane) -> None:
    """A rotation closes no connection and fails no operation, and a refusal is told.

    A library that wants one more connection with a wrong password does not get it, and
    may close others for that: redis-py does.
    """
    lane = make_lane(tls=True)
    async with LocalCluster(shards=1, replicas_per_shard=0, password=FIRST) as cluster:
        (node,) = cluster.nodes
        target = target_of(cluster)
        async with driving(target, lane, password=FIRST) as drive:
            loading = asyncio.create_task(drive.load(SLOTS))
            await some_more(drive, 60)
            connected, before = await ids(cluster), await logins(node)
            await set_password(cluster, SECOND, keep_old=True)
            drive.driver.use_login(None, SECOND)
            found = await drive.driver.renew_login(0.0)
            await set_password(cluster, SECOND, keep_old=False)
            await some_more(drive, 60)
            assert (found.refused, found.reason) == (0, "")
            assert found.renewed > 0
            assert await ids(cluster) == connected
            assert await logins(node) > before

            await certificates_change(drive, target)
            assert drive.failures == {}

            drive.driver.use_login(None, "wrong-of-the-test")
            found = await drive.driver.renew_login(0.0)
            await some_more(drive, 60)
            assert found.refused > 0
            assert "WRONGPASS" in found.reason or "password" in found.reason
            assert "wrong-of-the-test" not in found.reason
            loading.cancel()
            await until(lambda: len(drive.ends) == len(drive.made), what="all ends")
            errors = {error for _, error in drive.failures.values()}
            assert errors <= {ErrorClass.AUTH}
            if lane.driver == "wire":
                assert connected <= await ids(cluster)
            drive.driver.use_login(None, SECOND)


async def certificates_change(drive: Driving, target: Target) -> None:
    """Have a driver read its files again, and other files."""
    assert target.ca_file is not None
    copied = Path(target.ca_file).with_suffix(".copy")
    shutil.copy(target.ca_file, copied)
    other = target.with_certificates_of(Target(ca_file=str(copied)))
    for changed in (target, other, target):
        await drive.driver.use_certificates(changed, make_context(changed))
        await some_more(drive, 60)


async def test_new_connections_take_new_certificates() -> None:
    """Who trusts another authority than the server's connects no more, and then does.

    Connections that are open stay.
    """
    lane = small_lane("lane", workers=4, tls=True)
    async with (
        LocalCluster(shards=1, replicas_per_shard=0) as cluster,
        driving(target_of(cluster), lane) as drive,
    ):
        (node,) = cluster.nodes
        assert cluster.certificates is not None
        own = target_of(cluster)
        strange = target_of(
            cluster, ca_file=str(cluster.certificates.client.certificate)
        )
        await drive.driver.use_certificates(strange, make_context(strange))
        assert await drive.ask(0) is None
        await node.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        async with asyncio.timeout(20):
            while not isinstance(end := await drive.ask(0), tuple) or (
                end[1] is not ErrorClass.TLS
            ):
                await asyncio.sleep(0.01)
        await drive.driver.use_certificates(own, make_context(own))
        await drive.served_again(0)
