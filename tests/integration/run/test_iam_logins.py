"""Tokens that are made anew and logins that are renewed, under load, in short times."""

import asyncio
from itertools import count

import pytest

from loadprobe.config.keys import Target
from loadprobe.core.events import CredentialsChanged, Event
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.run.iam import IamLogins
from tests.support.running import config_of, measuring, small_lane, target_of, until

pytestmark = pytest.mark.alone

LANES = (
    small_lane("wire", tls=True, connect_rate_per_s=10.0, deadline_ms=1000),
    small_lane(
        "redis-py", tls=True, driver="redis-py", workers=2, deadline_ms=1000, keys=50
    ),
)
TOKENS = [f"cache/?Action=connect&User=app&number={n}" for n in range(100)]


async def allow(cluster: LocalCluster) -> None:
    """Let a user in with any of the tokens."""
    for node in cluster.nodes:
        passwords = [f">{token}" for token in TOKENS]
        await node.command(
            "ACL", "SETUSER", "app", "on", *passwords, "~*", "&*", "+@all"
        )


async def test_no_lane_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection logs in again and again; none is closed, no arrival fails."""
    monkeypatch.setenv("LP_TEST_TOKEN", TOKENS[0])
    events: list[Event] = []
    numbers = count(1)
    async with LocalCluster(shards=2, replicas_per_shard=0) as cluster:
        await allow(cluster)
        target = target_of(cluster, username="app", password_env="LP_TEST_TOKEN")
        async with measuring(config_of(target, *LANES)) as trial:
            iam = IamLogins(
                Target(host="h", iam_user="app", iam_cache="c", iam_region="r"),
                trial.measurement.tuning,
                events.append,
                make=lambda: TOKENS[next(numbers)],
                fresh_s=0.2,
                renew_s=0.6,
                spread_s=0.4,
            )
            running = asyncio.create_task(iam.run())
            await until(lambda: len(events) >= 4, what="four renewals")
            running.cancel()
            await asyncio.wait({running})
    assert {type(event) for event in events} == {CredentialsChanged}
    # Where a machine stalls, a client library runs out of workers.
    assert set(trial.classes) <= {ErrorClass.INFLIGHT}, trial.classes
    assert not [o for o in trial.results.outages if o.scope.lane == "wire"]
