"""The controller against a server that others wrote: moto, through the real clients.

moto keeps what it is told and has no state machine: groups are available at once, their
nodes are not described, and a deleted group stays "deleting".
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.elasticache.models import ReplicationGroup, elasticache_backends
from moto.server import ThreadedMotoServer

from loadprobe.config.keys import Control
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.mutate import TimeLimits, mutate
from loadprobe.control.mutations.mutation import Mutation, modify
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.mutations.sizes import Scale
from loadprobe.control.provider.api import ElastiCacheApi, open_api
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import Need
from loadprobe.control.watch.names import NameMove
from loadprobe.core.events import CallAccepted, Event, PhaseEntered
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError

SMALL = CreateGroup(
    shard_count=2,
    replicas=1,
    node_type="cache.t4g.micro",
    engine="redis",
    engine_version="7.1",
    tls_mode="preferred",
    mark="7f3a",
)


class Unwatched:
    """A topology watch of a cluster that does not exist."""

    current: Topology | None = None

    async def wait_for(
        self, predicate: Callable[[Topology], bool], deadline_s: float
    ) -> bool:
        """Nothing is ever seen."""
        return False

    async def linked_replicas(self, shard: str) -> int:
        """Nothing is ever seen."""
        return 0

    endpoint_move: NameMove | None = None
    is_endpoint_behind = False

    def is_at(self, endpoint: Endpoint | None) -> bool:
        """Tell that what is watched is the group itself."""
        return endpoint is not None

    async def follows_source(self, endpoint: Endpoint) -> bool:
        """Nothing is ever seen."""
        return False

    def follow(self, group: Group) -> None:
        """There is nothing to follow."""

    def use_password(self, password: Secret) -> None:
        """There is nobody to log in to."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve moto on loopback."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def api(url: str) -> AsyncIterator[ElastiCacheApi]:
    """Open the API for a group that is not there yet."""
    elasticache_backends.reset()
    control = Control(replication_group="rg", endpoint_url=url)
    async with open_api(control, must_exist=False) as opened:
        yield opened


async def carry_out(
    api: ElastiCacheApi, mutation: Mutation, journal: list[Event]
) -> StepRecord:
    """Carry a mutation out with little patience."""
    return await mutate(
        api,
        mutation,
        Phases("step", mutation.operation, journal.append),
        topology=Unwatched(),
        pace=TimeLimits(deadline_s=1.0, poll_s=0.05, evidence_s=0.2),
    )


def kept() -> ReplicationGroup:
    """Return what moto knows of the group."""
    return elasticache_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].replication_groups[
        "rg"
    ]


async def test_a_group_is_created_described_and_deleted(api: ElastiCacheApi) -> None:
    """What is sent is what another implementation of the service understands."""
    journal: list[Event] = []
    record = await carry_out(api, SMALL, journal)
    assert record.state is StepState.SETTLED
    assert list(record.phases_ns) == ["api_call", "accepted", "settled"]
    accepted = journal[1]
    assert isinstance(accepted, PhaseEntered)
    assert isinstance(accepted.details, CallAccepted)
    assert accepted.details.request_id

    group = (await api.describe_state()).group
    assert (group.status, group.tls_mode, group.is_cluster) == (
        "available",
        "preferred",
        True,
    )
    assert [len(shard.members) for shard in group.shards.values()] == [2, 2]
    assert group.shards["0001"].slots[0][0] == 0
    assert group.endpoint is not None
    assert group.endpoint.host.startswith("clustercfg.rg.")

    # It stays "deleting", so its end is waited for in vain, and told so.
    with pytest.raises(ControlError, match=r"'absent' \(it is 'deleting'\)"):
        await carry_out(api, DeleteGroup("7f3a"), journal)
    assert (await api.describe_group()).status == "deleting"


async def test_tags_and_changes_arrive(api: ElastiCacheApi) -> None:
    """Lists are rendered as the service reads them, and members as it names them."""
    await carry_out(api, SMALL, [])
    assert kept().cache_node_type == "cache.t4g.micro"
    state = await api.describe_state()
    call = await api.send(modify(state, CacheNodeType="cache.t4g.small"))
    assert call.request_id
    assert kept().cache_node_type == "cache.t4g.small"
    tags = elasticache_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].list_tags_for_resource(
        kept().arn
    )
    assert tags["Tags"] == [
        {"Key": "loadprobe:created-by", "Value": "loadprobe"},
        {"Key": "loadprobe:mark", "Value": "7f3a"},
    ]
    told = (await api.describe_state({Need.TAGS})).tags
    assert told == {"loadprobe:created-by": "loadprobe", "loadprobe:mark": "7f3a"}


async def test_a_second_group_of_a_name_is_refused_ahead(api: ElastiCacheApi) -> None:
    """The guard knows before the provider is asked."""
    await carry_out(api, SMALL, [])
    journal: list[Event] = []
    with pytest.raises(ControlError, match="a group of that name exists"):
        await carry_out(api, SMALL, journal)
    (failed,) = journal
    assert isinstance(failed, PhaseEntered)
    assert failed.details.phase == "failed"


async def test_an_answer_that_is_no_xml_is_no_answer(api: ElastiCacheApi) -> None:
    """A page of HTML with status 500 may stand for an applied call: it is looked up."""
    await carry_out(api, SMALL, [])
    with pytest.raises(ControlError, match="no usable reply came") as caught:
        await carry_out(api, Scale(3), [])
    assert "the call was not repeated" in str(caught.value)
    assert "\n" not in str(caught.value)
