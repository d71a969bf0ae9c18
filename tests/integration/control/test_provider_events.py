"""The event poller against a server that answers and refuses on cue."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from loadprobe.clock import NS_PER_S, wall_now_ns
from loadprobe.control.provider.api import open_api
from loadprobe.control.provider.events import ProviderEvents
from loadprobe.control.provider.faults import ApiRefused
from loadprobe.core.events import Event, ProviderTold
from loadprobe.local.api.faults import ApiFault
from tests.support.scripted_api import (
    ScriptedApi,
    control,
    event,
    serving_script,
)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedApi]:
    """Serve a script on loopback, with no credentials in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    async with serving_script() as scripted:
        yield scripted


def only_told(events: list[Event]) -> list[ProviderTold]:
    """Return events, all of which are the provider's."""
    told = [event for event in events if isinstance(event, ProviderTold)]
    assert told == events
    return told


async def test_each_event_reaches_the_journal_once(server: ScriptedApi) -> None:
    """Overlapping polls, foreign events and events before the run add nothing."""
    called = event("Test Failover API called for node group 0001")
    server.default["DescribeEvents"] = {
        "Events": [
            event("before the run", age_s=60),
            called,
            event("of another group", source="rg-blue"),
        ]
    }
    emitted: list[Event] = []
    since_unix_ns = wall_now_ns() - NS_PER_S
    async with open_api(control(server)) as api:
        poller = ProviderEvents(
            api, emitted.append, since_unix_ns=since_unix_ns, poll_s=1
        )
        assert await poller.poll() == 1
        assert await poller.poll() == 0
        # Published a minute late, and in the overlap of a later poll.
        late = event("Cache cluster patched", source="rg-0001-002")
        server.default["DescribeEvents"]["Events"].append(late)
        assert await poller.poll() == 1
    told = [(e.meaning, e.node_group, e.failover_id) for e in only_told(emitted)]
    assert told == [
        ("test_failover_called", "0001", "0001#1"),
        ("patched", "0001", "0001#1"),
    ]
    starts = [a["StartTime"] for n, a in server.requests if n == "DescribeEvents"]
    assert all(
        datetime.now(UTC) - start > timedelta(minutes=14, seconds=58)
        for start in starts
    )


async def test_a_process_that_goes_on_misses_nothing_and_tells_nothing_again(
    server: ScriptedApi,
) -> None:
    """What was published while there was no process, or late, is told once."""
    known = event("Recovering cache nodes 0001", age_s=7300)
    server.default["DescribeEvents"] = {
        "Events": [
            event("before the run", age_s=9000),
            known,
            event("Finished recovery for cache nodes 0001", age_s=7210),
            event("Cache cluster patched", source="rg-0001-002", age_s=3600),
        ]
    }
    first: list[Event] = []
    emitted: list[Event] = []
    now_ns = wall_now_ns()
    async with open_api(control(server)) as api:
        gone = ProviderEvents(
            api, first.append, since_unix_ns=now_ns - 8000 * NS_PER_S, poll_s=1
        )
        await gone.poll()
        poller = ProviderEvents(
            api,
            emitted.append,
            since_unix_ns=now_ns - 8000 * NS_PER_S,
            until_unix_ns=now_ns - 7200 * NS_PER_S,
            known=only_told(first)[:1],
            poll_s=1,
        )
        server.requests.clear()
        assert await poller.poll() == 2
        assert await poller.poll() == 0
    assert [e.meaning for e in only_told(emitted)] == ["recovery_finished", "patched"]
    asked = [a["StartTime"] for n, a in server.requests if n == "DescribeEvents"]
    assert datetime.now(UTC) - asked[0] > timedelta(hours=2, minutes=14)
    assert datetime.now(UTC) - asked[1] < timedelta(minutes=16)


async def test_the_event_poller_outlives_throttling_and_ends_on_denial(
    server: ScriptedApi,
) -> None:
    """What passes is waited out; a missing permission ends it, naming the action."""
    limit = ApiFault("APICallRateForCustomerExceeded", "slow down")
    emitted: list[Event] = []
    async with open_api(control(server), throttle_backoff_s=0.001) as api:
        server.script["DescribeEvents"].extend(
            [*[limit] * 7, {"Events": [event("x")]}, ApiFault("AccessDenied", "no")]
        )
        poller = ProviderEvents(
            api, emitted.append, since_unix_ns=wall_now_ns() - NS_PER_S, poll_s=0.01
        )
        with pytest.raises(ApiRefused, match="elasticache:DescribeEvents"):
            await poller.run()
    assert [event.message for event in only_told(emitted)] == ["x"]


async def test_the_event_poller_waits_for_renewed_credentials(
    server: ScriptedApi,
) -> None:
    """Refused keys do not end it; the events come when they are renewed."""
    expired = ApiFault("ExpiredToken", "expired")
    emitted: list[Event] = []
    async with open_api(control(server)) as api:
        server.script["DescribeEvents"].extend(
            [*[expired] * 3, {"Events": [event("x")]}, ApiFault("AccessDenied", "no")]
        )
        poller = ProviderEvents(
            api, emitted.append, since_unix_ns=wall_now_ns() - NS_PER_S, poll_s=0.01
        )
        with pytest.raises(ApiRefused, match="elasticache:DescribeEvents"):
            await poller.run()
    assert [event.message for event in only_told(emitted)] == ["x"]
