"""The API client against a server that answers, refuses, fails and hangs up on cue."""

from collections.abc import AsyncIterator

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Control
from loadprobe.control.provider.api import open_api
from loadprobe.control.provider.faults import ApiRefused, ApiUnanswered, ApiUnreachable
from loadprobe.control.provider.replies import EngineVersion, from_unix_ns
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import ABSENT, ApiCall, Need
from loadprobe.errors import ControlError
from loadprobe.local.api.faults import ApiFault
from tests.support.scripted_api import (
    GROUP,
    HANG_UP,
    ScriptedApi,
    control,
    event,
    serving_script,
)

FAILOVER = ApiCall("TestFailover", {"ReplicationGroupId": "rg", "NodeGroupId": "0001"})


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedApi]:
    """Serve a script on loopback, with no credentials in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    async with serving_script() as scripted:
        yield scripted


async def test_opening_warms_up_both_clients_with_placeholder_keys(
    server: ScriptedApi,
) -> None:
    """A loopback endpoint needs no credentials, and is asked before load starts."""
    async with open_api(control(server)) as api:
        assert server.count("DescribeReplicationGroups") == 2
        assert api.members == {"rg-0001-001": "0001", "rg-0001-002": "0001"}
        assert api.offset_ns is not None
        assert abs(api.offset_ns) < 5 * NS_PER_S
    assert all(entry.startswith("local/") for entry in server.credentials)


async def test_every_call_is_timed_and_has_its_request_id(server: ScriptedApi) -> None:
    """Both clocks around the call, and the provider's id, are kept."""
    server.default["TestFailover"] = {"ReplicationGroup": GROUP}
    async with open_api(control(server)) as api:
        call = await api.send(FAILOVER)
    assert call.request_id == "request-1"
    assert call.before.mono_ns < call.after.mono_ns
    assert server.requests[-1] == (
        "TestFailover",
        {"ReplicationGroupId": "rg", "NodeGroupId": "0001"},
    )


@pytest.mark.parametrize(
    "step", [HANG_UP, ApiFault("InternalFailure", "broken")], ids=["hang-up", "500"]
)
async def test_a_mutation_without_an_answer_is_sent_once(
    server: ScriptedApi, step: object
) -> None:
    """Neither a lost connection nor a server error sends a second TestFailover."""
    server.default["TestFailover"] = step
    async with open_api(control(server)) as api:
        with pytest.raises(ApiUnanswered, match="may have been applied"):
            await api.send(FAILOVER)
    assert server.count("TestFailover") == 1


async def test_a_throttled_mutation_is_refused_and_not_repeated(
    server: ScriptedApi,
) -> None:
    """The caller decides about a refused mutation, not a retry loop."""
    server.default["TestFailover"] = ApiFault("APICallRateForCustomerExceeded", "no")
    async with open_api(control(server)) as api:
        with pytest.raises(ApiRefused, match="limited to 15") as caught:
            await api.send(FAILOVER)
    assert caught.value.code == "APICallRateForCustomerExceeded"
    assert server.count("TestFailover") == 1


async def test_reads_survive_throttling_and_server_errors(server: ScriptedApi) -> None:
    """Reads are repeated on the customer's rate limit and on a lost connection."""
    limit = ApiFault("APICallRateForCustomerExceeded", "slow down")
    server.default["DescribeEvents"] = {"Events": [event("x")]}
    async with open_api(control(server), throttle_backoff_s=0.01) as api:
        server.script["DescribeEvents"].extend([limit, limit, HANG_UP])
        records = await api.events_since(0)
    assert [record.message for record in records] == ["x"]
    assert server.count("DescribeEvents") == 4


async def test_a_read_gives_up_on_lasting_throttling(server: ScriptedApi) -> None:
    """Five attempts are made; then the refusal is the caller's."""
    async with open_api(control(server), throttle_backoff_s=0.001) as api:
        server.default["DescribeEvents"] = ApiFault(
            "APICallRateForCustomerExceeded", "slow down"
        )
        with pytest.raises(ApiRefused, match="slow down"):
            await api.events_since(0)
    assert server.count("DescribeEvents") == 5


async def test_all_pages_are_read(server: ScriptedApi) -> None:
    """A marker leads to the next page with the same start time."""
    server.script["DescribeEvents"].extend(
        [
            {"Events": [event("new")], "Marker": "m1"},
            {"Events": [event("old", age_s=60)]},
        ]
    )
    async with open_api(control(server)) as api:
        records = await api.events_since(1_700_000_000_123_456_789)
    assert [record.message for record in records] == ["old", "new"]
    first, second = (arguments for _, arguments in server.requests[-2:])
    assert second == {**first, "Marker": "m1"}
    assert first["StartTime"] == from_unix_ns(1_700_000_000_123_000_000)


async def test_only_nodes_of_the_group_are_described(server: ScriptedApi) -> None:
    """Nodes of other groups of the account are left out."""
    server.default["DescribeCacheClusters"] = {
        "CacheClusters": [
            {"CacheClusterId": "rg-0001-001", "EngineVersion": "7.1"},
            {"CacheClusterId": "other-0001-001"},
        ]
    }
    async with open_api(control(server)) as api:
        state = await api.describe_state()
    found = [(cluster.id, cluster.engine_version) for cluster in state.clusters]
    assert found == [("rg-0001-001", "7.1")]


async def test_what_is_needed_is_asked_for_and_no_more(server: ScriptedApi) -> None:
    """Each need is a call; what the endpoint does not know stays unknown."""
    node = {"CacheClusterId": "rg-0001-001", "NodeUpdateStatus": "complete"}
    server.default |= {
        "DescribeCacheClusters": {"CacheClusters": []},
        "DescribeUpdateActions": {
            "UpdateActions": [
                {
                    "ServiceUpdateName": "u-1",
                    "UpdateActionStatus": "in-progress",
                    "NodesUpdated": "1/2",
                    "NodeGroupUpdateStatus": [{"NodeGroupMemberUpdateStatus": [node]}],
                }
            ]
        },
        "ListAllowedNodeTypeModifications": {
            "ScaleUpModifications": ["cache.t4g.small"],
            "ScaleDownModifications": ["cache.t4g.micro"],
        },
        "DescribeCacheEngineVersions": {
            "CacheEngineVersions": [{"Engine": "valkey", "EngineVersion": "8.1"}]
        },
        "DescribeEvents": {"Events": [event("x")]},
    }
    async with open_api(control(server)) as api:
        bare = await api.describe_state()
        asked = {action for action, _ in server.requests}
        full = await api.describe_state(tuple(Need))
        for action in (
            "ListAllowedNodeTypeModifications",
            "DescribeCacheEngineVersions",
        ):
            server.default[action] = ApiFault("InvalidAction", "what?")
        unknown = await api.describe_state(tuple(Need))
    assert asked == {"DescribeReplicationGroups", "DescribeCacheClusters"}
    assert (bare.node_types, bare.engine_versions, bare.records) == (None, None, None)
    assert full.node_types == ("cache.t4g.small", "cache.t4g.micro")
    assert full.engine_versions == (EngineVersion("valkey", "8.1"),)
    (update,) = full.updates
    assert (update.name, update.status) == ("u-1", "in-progress")
    assert [node.status for node in update.nodes] == ["complete"]
    assert [record.message for record in full.records or ()] == ["x"]
    assert (unknown.node_types, unknown.engine_versions) == (None, None)


async def test_a_group_to_be_created_may_be_absent(server: ScriptedApi) -> None:
    """Opening does not insist on it, and its state says so."""
    server.default["DescribeReplicationGroups"] = ApiFault(
        "ReplicationGroupNotFoundFault", "rg not found"
    )
    async with open_api(control(server), must_exist=False) as api:
        state = await api.describe_state(missing_ok=True)
        with pytest.raises(ApiRefused, match="rg not found"):
            await api.describe_state()
    assert (state.group.id, state.group.status) == ("rg", ABSENT)
    assert not state.is_there


async def test_a_secret_is_sent_and_not_told(
    server: ScriptedApi, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes over the wire; a refusal that repeats it, and logs, have a mask."""
    caplog.set_level("INFO")
    token = "correct-horse-battery"
    call = ApiCall(
        "ModifyReplicationGroup",
        {"ReplicationGroupId": "rg", "AuthToken": Secret(token)},
    )
    server.default["ModifyReplicationGroup"] = ApiFault(
        "InvalidParameterValue", f"The token {token} is odd"
    )
    async with open_api(control(server)) as api:
        with pytest.raises(ApiRefused) as caught:
            await api.send(call)
    assert server.requests[-1][1]["AuthToken"] == token
    assert "AuthToken=****" in str(caught.value)
    assert "The token **** is odd" in str(caught.value)
    assert caught.value.__cause__ is None
    assert token not in caplog.text


async def test_a_batch_that_did_nothing_is_a_refusal(server: ScriptedApi) -> None:
    """Its reply is a success, with the refusal in it."""
    left = {
        "ServiceUpdateName": "u-1",
        "ErrorType": "InvalidReplicationGroupState",
        "ErrorMessage": "rg is busy",
    }
    server.default["BatchApplyUpdateAction"] = {"UnprocessedUpdateActions": [left]}
    call = ApiCall(
        "BatchApplyUpdateAction",
        {"ServiceUpdateName": "u-1", "ReplicationGroupIds": ["rg"]},
    )
    async with open_api(control(server)) as api:
        with pytest.raises(ApiRefused, match="rg is busy") as caught:
            await api.send(call)
    assert caught.value.code == "InvalidReplicationGroupState"


async def test_an_unknown_group_is_told_on_opening(server: ScriptedApi) -> None:
    """A wrong group id ends before load starts, with a pointer to the key."""
    server.default["DescribeReplicationGroups"] = ApiFault(
        "ReplicationGroupNotFoundFault", "rg not found"
    )
    with pytest.raises(ApiRefused, match=r"check control\.replication_group"):
        async with open_api(control(server)):
            pytest.fail("opened")


async def test_a_dead_endpoint_is_told_on_opening(unused_tcp_port: int) -> None:
    """Nothing listens: the text names the endpoint and what to check."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(ApiUnreachable, match=f"at {url} was not sent"):
        async with open_api(Control(replication_group="rg", endpoint_url=url)):
            pytest.fail("opened")


async def test_a_malformed_endpoint_is_told_on_opening() -> None:
    """An endpoint that is no URL is a matter of the configuration."""
    with pytest.raises(ControlError, match=r"check the \[control\] section"):
        async with open_api(Control(replication_group="rg", endpoint_url="nonsense")):
            pytest.fail("opened")
