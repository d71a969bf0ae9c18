"""A failover is checked, sent once, and followed through all of its signs."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from loadprobe.control.mutations.changes import FailOver
from loadprobe.control.mutations.mutate import TimeLimits, mutate
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.calls import Calls
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.watch.names import NameMove
from loadprobe.core.events import (
    CallAccepted,
    CallBegun,
    CallEvident,
    Event,
    MutationFailed,
    PhaseDetails,
    PhaseEntered,
    PrimaryPromoted,
)
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.errors import ControlError

OLD, NEW = Node("id-1", "10.0.0.1", 6379), Node("id-2", "10.0.0.2", 6379)
_Kind = TypeVar("_Kind", bound=PhaseDetails)

RECOVERED = "Finished recovery for cache nodes 0001"
COMPLETED = (
    "Failover from primary node rg-0001-001 to replica node rg-0001-002 completed"
)
CALLED = "Test Failover API called for node group 0001"


def topology(primary: Node, *replicas: Node) -> Topology:
    """Return a topology of one shard, under another name than the provider's."""
    shard = Shard(
        name="0007", ranges=((0, 16383),), primary=primary, replicas=replicas, epoch=1
    )
    return Topology(shards=(shard,))


class Provider:
    """Both clients of the API, and the topology, of a group that fails over at once."""

    def __init__(self) -> None:
        self.current: Topology | None = topology(OLD, NEW)
        self.status = "available"
        self.members = ["rg-0001-001", "rg-0001-002"]
        self.events: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.faults: list[Exception] = []
        self.on_call: Callable[[], None] = self.fail_over

    def add(self, message: str, *, source: str = "rg", age_s: float = 0.0) -> None:
        """Publish an event."""
        date = datetime.now(UTC) - timedelta(seconds=age_s)
        kind = "replication-group" if source == "rg" else "cache-cluster"
        self.events.append(
            {
                "SourceIdentifier": source,
                "SourceType": kind,
                "Date": date,
                "Message": message,
            }
        )

    def fail_over(self) -> None:
        """Do what a TestFailover does."""
        self.add(CALLED)
        self.add(COMPLETED)
        self.add(COMPLETED, source="rg-0001-001")
        self.add("Recovering cache nodes 0001", source="rg-0001-001")
        self.add(RECOVERED, source="rg-0001-001")
        self.current = topology(NEW, OLD)

    async def describe_replication_groups(self, **_: object) -> dict[str, Any]:
        """Answer as botocore does."""
        members = [{"CacheClusterId": member} for member in self.members]
        shard = {
            "NodeGroupId": "0001",
            "Slots": "0-16383",
            "NodeGroupMembers": members,
        }
        group = {
            "ReplicationGroupId": "rg",
            "Status": self.status,
            "NodeGroups": [shard],
        }
        return {"ReplicationGroups": [group]}

    async def describe_cache_clusters(self, **_: object) -> dict[str, Any]:
        """Answer as botocore does."""
        return {"CacheClusters": [{"CacheClusterId": each} for each in self.members]}

    async def describe_events(
        self, *, StartTime: datetime, **_: object
    ) -> dict[str, Any]:
        """Answer as botocore does."""
        if self.faults and self.calls:
            raise self.faults.pop(0)
        return {"Events": [e for e in self.events if e["Date"] >= StartTime]}

    async def test_failover(self, **arguments: object) -> dict[str, Any]:
        """Answer as botocore does."""
        self.calls.append(arguments)
        self.on_call()
        return {"ResponseMetadata": {"RequestId": "request-1"}}

    async def wait_for(
        self, predicate: Callable[[Topology], bool], deadline_s: float
    ) -> bool:
        """Answer as the topology watch does, without the waiting."""
        await asyncio.sleep(0)
        return self.current is not None and predicate(self.current)

    async def linked_replicas(self, shard: str) -> int:
        """Answer as the topology watch does."""
        assert shard == "0007"
        return len(self.current.shards[0].replicas) if self.current is not None else 0

    endpoint_move: NameMove | None = None
    is_endpoint_behind = False

    def is_at(self, endpoint: Endpoint | None) -> bool:
        """Tell that what is watched is the group itself."""
        return endpoint is not None

    async def follows_source(self, endpoint: Endpoint) -> bool:
        """Answer as the topology watch does."""
        return False

    def follow(self, group: Group) -> None:
        """Take what the topology watch takes."""

    def use_password(self, password: Secret) -> None:
        """Take what the topology watch takes."""


class Run:
    """One attempt, and the phases it emitted."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.events: list[Event] = []

    @property
    def entered(self) -> list[PhaseEntered]:
        """All that was told: phases, and nothing else."""
        assert all(isinstance(event, PhaseEntered) for event in self.events)
        return [event for event in self.events if isinstance(event, PhaseEntered)]

    @property
    def phases(self) -> list[str]:
        """Names of the phases so far."""
        return [event.details.phase for event in self.entered]

    def details(self, kind: type[_Kind]) -> _Kind:
        """Return what belongs to the first phase of a kind."""
        return next(d for e in self.entered if isinstance(d := e.details, kind))

    async def start(self, shard: str = "0001", deadline_s: float = 5.0) -> StepRecord:
        """Fail over."""
        api = ElastiCacheApi(
            Calls(self.provider, self.provider, where="here", throttle_backoff_s=0),
            group_id="rg",
            where="here",
        )
        return await mutate(
            api,
            FailOver(shard),
            Phases("first", FailOver.operation, self.events.append),
            topology=self.provider,
            pace=TimeLimits(deadline_s, poll_s=0.001, evidence_s=0.05, ready_s=0.05),
        )


@pytest.fixture
def run() -> Run:
    """Return a run against a healthy group."""
    return Run(Provider())


@pytest.mark.parametrize("shard", ["0001", "1"])
async def test_a_failover_passes_its_phases_in_order(run: Run, shard: str) -> None:
    """Each phase is emitted once, and "promoted" names both primaries."""
    record = await run.start(shard)
    assert run.phases == [
        "api_call",
        "accepted",
        "promoted",
        "provider_completed",
        "settled",
        "replicas_recovered",
    ]
    assert list(record.phases_ns) == run.phases
    assert (record.name, record.state) == ("first", StepState.SETTLED)
    assert (record.operation, record.shards) == ("failover", ("0001",))
    told = {(e.step, e.operation, e.shard) for e in run.entered}
    assert told == {("first", "failover", "0001")}
    assert run.provider.calls == [{"ReplicationGroupId": "rg", "NodeGroupId": "0001"}]
    promoted = run.details(PrimaryPromoted)
    assert promoted.from_node == "10.0.0.1:6379"
    assert promoted.to_node == "10.0.0.2:6379"
    assert run.details(CallAccepted).request_id == "request-1"
    assert (
        run.details(CallBegun).call
        == "TestFailover(ReplicationGroupId=rg, NodeGroupId=0001)"
    )


async def refused(run: Run, text: str, shard: str = "0001") -> None:
    """Check that a failover is refused before anything was sent."""
    with pytest.raises(ControlError, match=text) as caught:
        await run.start(shard)
    assert run.provider.calls == []
    assert run.phases == ["failed"]
    assert run.details(MutationFailed).reason == str(caught.value)


async def test_the_daily_quota_is_checked_before_the_call(run: Run) -> None:
    """The sixteenth failover in 24 hours is not sent; older ones do not count."""
    for hour in range(15):
        run.provider.add(CALLED, age_s=hour * 3600)
    await refused(run, "15 test failovers were called in the last 24 hours")


async def test_failovers_of_the_day_before_do_not_count(run: Run) -> None:
    """Fourteen today and any number before leave room for one more."""
    for hour in range(30):
        run.provider.add(CALLED, age_s=(10.5 + hour) * 3600)
    await run.start()
    assert run.phases[-1] == "replicas_recovered"


async def test_a_busy_group_is_not_failed_over(run: Run) -> None:
    """It is waited for, and the text has the status when that took too long."""
    run.provider.status = "modifying"
    await refused(run, "'modifying', not 'available'")


async def test_a_node_still_being_replaced_is_waited_for(run: Run) -> None:
    """The provider would refuse a failover until the previous one is complete."""
    run.provider.add(CALLED, age_s=60)
    await refused(run, "waiting 0.05 s: a node of shard 0001 is still being replaced")


async def test_a_replacement_whose_end_was_never_told_is_forgotten(run: Run) -> None:
    """Half an hour later a failover is sent all the same."""
    run.provider.add(CALLED, age_s=31 * 60)
    await run.start()
    assert run.phases[-1] == "replicas_recovered"


async def test_an_unknown_shard_is_told_with_the_known_ones(run: Run) -> None:
    """A person who mistypes the shard sees what there is."""
    await refused(run, "no such node group; known: 0001", shard="9")


async def test_a_shard_without_replica_is_not_failed_over(run: Run) -> None:
    """There would be nobody to take over."""
    run.provider.members = ["rg-0001-001"]
    await refused(run, "has no replica")


async def test_an_invisible_cluster_is_not_failed_over(run: Run) -> None:
    """Without sight of the shard, the promotion could not be measured."""
    run.provider.current = None
    await refused(run, "shows no primary with a replica for slot 0")


def lose_reply() -> None:
    """Let the reply of a call time out."""
    raise ReadTimeoutError(endpoint_url="http://here", error="late")


async def test_a_lost_reply_is_accepted_by_its_event(run: Run) -> None:
    """The call is not repeated, and the phase says what the evidence was."""

    def apply_and_lose() -> None:
        run.provider.fail_over()
        lose_reply()

    run.provider.on_call = apply_and_lose
    await run.start()
    assert run.phases[1] == "accepted"
    assert run.details(CallEvident).evidence == "event"
    assert run.phases[-1] == "replicas_recovered"
    assert len(run.provider.calls) == 1


async def test_a_lost_reply_is_accepted_by_a_new_primary(run: Run) -> None:
    """A promotion is evidence before the provider's event is published."""

    def promote_and_lose() -> None:
        run.provider.current = topology(NEW, OLD)
        lose_reply()

    run.provider.on_call = promote_and_lose
    with pytest.raises(ControlError, match="not settled"):
        await run.start(deadline_s=0.05)
    assert run.details(CallEvident).evidence == "topology"
    assert run.phases == ["api_call", "accepted", "promoted", "failed"]


async def test_a_lost_reply_without_a_sign_fails_unrepeated(run: Run) -> None:
    """Events from before the call are no sign of it."""
    run.provider.add(CALLED, age_s=2)
    run.provider.add(RECOVERED, source="rg-0001-001", age_s=1)
    run.provider.on_call = lose_reply
    with pytest.raises(ControlError, match=r"no sign .* the call was not repeated"):
        await run.start()
    assert len(run.provider.calls) == 1
    assert run.phases == ["api_call", "failed"]


async def test_a_refusal_is_a_failed_phase(run: Run) -> None:
    """The provider's code and text reach the journal and the caller."""

    def refuse() -> None:
        error = {"Code": "TestFailoverNotAvailableFault", "Message": "busy"}
        raise ClientError({"Error": error}, "TestFailover")  # type: ignore[typeddict-item]

    run.provider.on_call = refuse
    with pytest.raises(ControlError, match="TestFailoverNotAvailableFault: busy"):
        await run.start()
    assert run.phases == ["api_call", "failed"]


async def test_the_deadline_names_what_is_missing(run: Run) -> None:
    """A failover that stays incomplete fails with the signs still awaited."""
    run.provider.on_call = lambda: run.provider.add(COMPLETED)
    with pytest.raises(ControlError, match="missing: promoted, the provider's event"):
        await run.start(deadline_s=0.05)
    assert run.phases == ["api_call", "accepted", "provider_completed", "failed"]


async def test_a_failover_that_the_provider_gives_up_ends(run: Run) -> None:
    """Its event says so, and the deadline is not waited for."""
    text = "Test Failover of node group 0001 failed: nobody left"
    run.provider.on_call = lambda: run.provider.add(text)
    with pytest.raises(ControlError, match="the provider gave it up: .*nobody left"):
        await run.start()
    assert run.phases == ["api_call", "accepted", "failed"]


async def test_a_failover_of_another_group_is_no_evidence(run: Run) -> None:
    """The same shard id of another group of the account says nothing of ours."""

    def apply_elsewhere() -> None:
        run.provider.add(CALLED, source="other")
        lose_reply()

    run.provider.on_call = apply_elsewhere
    with pytest.raises(ControlError, match="no sign of it"):
        await run.start()


async def test_a_shard_that_lost_a_node_is_not_settled(run: Run) -> None:
    """All events and an available status do not make up for a missing replica."""

    def lose_a_node() -> None:
        run.provider.fail_over()
        run.provider.current = topology(NEW)

    run.provider.on_call = lose_a_node
    with pytest.raises(ControlError, match="missing: the shard's former replicas"):
        await run.start(deadline_s=0.05)


async def test_events_of_an_earlier_failover_complete_nothing(run: Run) -> None:
    """What was published before the call is known and left out, whatever its date."""
    run.provider.add(COMPLETED)
    run.provider.add(RECOVERED, source="rg-0001-001")
    run.provider.on_call = lambda: None
    with pytest.raises(ControlError, match="provider_completed"):
        await run.start(deadline_s=0.05)


async def test_passing_faults_do_not_end_a_failover(run: Run) -> None:
    """A poll that times out is made again; the failover is still seen through."""
    late = ReadTimeoutError(endpoint_url="http://here", error="late")
    run.provider.faults = [late, late]
    await run.start()
    assert run.phases[-1] == "replicas_recovered"


async def test_a_missing_permission_ends_a_failover(run: Run) -> None:
    """A denial does not pass by waiting, so the deadline is not waited for."""
    error = {"Error": {"Code": "AccessDenied", "Message": "no"}}
    run.provider.faults = [ClientError(error, "DescribeEvents")]  # type: ignore[arg-type]
    with pytest.raises(ControlError, match="elasticache:DescribeEvents"):
        await run.start()
    assert run.phases[-1] == "failed"
