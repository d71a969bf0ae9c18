"""A provider and a cluster for tests of the controller, in time that jumps.

Nothing here waits: when all tasks sleep, the clock goes on to whoever wakes up first.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from loadprobe.clock import ClockPair
from loadprobe.control.mutations.mutate import Caller, TimeLimits, mutate
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.calls import _METHODS, Calls
from loadprobe.control.provider.kinds import REPLICATION_GROUP, SERVERLESS_CACHE
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.watch.names import NameMove
from loadprobe.core.events import Event, PhaseDetails, PhaseEntered
from loadprobe.core.steps import StepRecord
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import Node, Shard, Topology

_Kind = TypeVar("_Kind", bound=PhaseDetails)

_T = TypeVar("_T")
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_EPOCH_NS = int(_EPOCH.timestamp()) * 1_000_000_000
_CLOCKS = (
    "provider.faults",
    "mutations.phase_log",
    "mutations.mutate",
    "mutations.signs",
)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        selector = cast("Any", self)._selector
        look = selector.select

        def jump(timeout: float | None = None) -> list[Any]:
            ready: list[Any] = look(0)
            if not ready:
                assert timeout is not None, "everybody waits, and nothing will happen"
                self._now_s += timeout
            return ready

        selector.select = jump

    def time(self) -> float:
        """Return the seconds since the loop began."""
        return self._now_s


def now_ns() -> int:
    """Return the virtual time."""
    return round(asyncio.get_running_loop().time() * 1_000_000_000)


def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the controller read the virtual clock."""
    for name in _CLOCKS:
        monkeypatch.setattr(f"loadprobe.control.{name}.mono_now_ns", now_ns)
    monkeypatch.setattr(
        "loadprobe.control.provider.api.wall_now_ns", lambda: _EPOCH_NS + now_ns()
    )
    for name in ("api", "calls"):
        monkeypatch.setattr(
            f"loadprobe.control.provider.{name}.read_clock_pair",
            lambda: ClockPair(now_ns(), _EPOCH_NS + now_ns()),
        )


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a test in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def refusal(code: str, message: str = "no", status: int = 400) -> ClientError:
    """Return what botocore raises for a refusal."""
    reply: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(reply, "AnyOperation")


def lost_reply() -> ReadTimeoutError:
    """Return what botocore raises when no reply comes."""
    return ReadTimeoutError(endpoint_url="http://here", error="late")


def no_connection() -> ConnectTimeoutError:
    """Return what botocore raises when nothing could be sent."""
    return ConnectTimeoutError(endpoint_url="http://here", error="nobody")


class Lost:
    """A step of a script: the reply is lost.

    Args:
        is_applied: whether the call took effect all the same.
    """

    def __init__(self, *, is_applied: bool) -> None:
        self.is_applied = is_applied


class Provider:
    """Both clients of the API and the topology watch, of one group.

    Attributes:
        group: the reply's replication group; None: there is none.
        clusters: the reply's nodes.
        events: the reply's events.
        updates: the reply's update actions.
        script: operation -> what each of the next calls meets, an exception or Lost.
        timeline: (seconds after an applied call, what happens then).
        kind: what it has.
        calls: (operation, arguments) of every mutation that arrived.
        operations: all that were called, reads too.
    """

    def __init__(self, *, shards: int = 2, replicas: int = 1) -> None:
        self.kind = REPLICATION_GROUP
        self.group: dict[str, Any] | None = {}
        self.clusters: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.script: dict[str, deque[Any]] = defaultdict(deque)
        self.timeline: list[tuple[float, Callable[[], None]]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.operations: set[str] = set()
        self.current: Topology | None = None
        self.linked: int | None = None
        self.is_in_step = True
        self.password: Secret | None = None
        self.arrange(shards, replicas)

    def arrange(self, shards: int, replicas: int) -> None:
        """Have so many shards, in the API and in the cluster."""
        ids = [f"{number + 1:04d}" for number in range(shards)]
        ranges = [
            (SLOTS * n // shards, SLOTS * (n + 1) // shards - 1) for n in range(shards)
        ]
        names = {
            shard: [f"rg-{shard}-{n + 1:03d}" for n in range(replicas + 1)]
            for shard in ids
        }
        self.group = {
            "ReplicationGroupId": "rg",
            "ARN": "arn:aws:elasticache:us-east-1:0:replicationgroup:rg",
            "Status": "available",
            "ClusterEnabled": True,
            "ConfigurationEndpoint": {"Address": "here", "Port": 6379},
            "NodeGroups": [
                {
                    "NodeGroupId": shard,
                    "Slots": f"{first}-{last}",
                    "NodeGroupMembers": [{"CacheClusterId": n} for n in names[shard]],
                }
                for shard, (first, last) in zip(ids, ranges, strict=True)
            ],
        } | {
            key: value
            for key, value in (self.group or {}).items()
            if key not in {"NodeGroups", "Status"}
        }
        self.clusters = [
            {
                "CacheClusterId": name,
                "CacheNodeType": "cache.t4g.micro",
                "Engine": "redis",
                "EngineVersion": "7.1.0",
            }
            for shard in ids
            for name in names[shard]
        ]
        self.current = Topology(
            tuple(
                Shard(shard, (slots,), node(shard, 0), nodes(shard, replicas), epoch=1)
                for shard, slots in zip(ids, ranges, strict=True)
            )
        )

    def become_cache(self) -> None:
        """Have a serverless cache instead, which the cluster shows as one shard."""
        self.arrange(1, 1)
        self.kind = SERVERLESS_CACHE
        self.clusters = []
        self.group = {
            "ServerlessCacheName": "rg",
            "ARN": "arn:aws:elasticache:us-east-1:0:serverlesscache:rg",
            "Status": "available",
            "Engine": "valkey",
            "MajorEngineVersion": "7",
            "FullEngineVersion": "7.2",
            "Endpoint": {"Address": "here", "Port": 6379},
            "ReaderEndpoint": {"Address": "here", "Port": 6380},
        }

    def change(self, **members: Any) -> None:
        """Change members of the group."""
        assert self.group is not None
        self.group |= members

    def after(self, seconds: float, **members: Any) -> None:
        """Change members of the group so long after an applied call."""
        self.timeline.append((seconds, lambda: self.change(**members)))

    def publish(self, message: str, *, source: str = "rg") -> None:
        """Publish an event now."""
        self.events.append(
            {
                "SourceIdentifier": source,
                "SourceType": (
                    "replication-group" if self.kind.has_nodes else "serverless-cache"
                ),
                "Message": message,
                "Date": _EPOCH + timedelta(seconds=asyncio.get_running_loop().time()),
            }
        )

    # The clients

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _OPERATIONS:
            raise AttributeError(name)

        async def call(**arguments: Any) -> dict[str, Any]:
            await asyncio.sleep(0)
            return self._answer(_OPERATIONS[name], arguments)

        return call

    def _answer(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        is_read = operation.startswith(("Describe", "List"))
        self.operations.add(operation)
        if not is_read:
            self.calls.append((operation, arguments))
        script = self.script[operation]
        step = script.popleft() if script else None
        if isinstance(step, Exception):
            raise step
        if step is None or step.is_applied:
            if is_read:
                return self._describe(operation)
            for seconds, happen in self.timeline:
                asyncio.get_running_loop().call_later(seconds, happen)
        if step is not None:
            raise lost_reply()
        return {"ResponseMetadata": {"RequestId": f"request-{len(self.calls)}"}}

    def _describe(self, operation: str) -> dict[str, Any]:
        if operation == self.kind.describe:
            if self.group is None:
                raise refusal(self.kind.not_found)
            return {self.kind.listed: [self.group]}
        replies: dict[str, dict[str, Any]] = {
            "DescribeCacheClusters": {"CacheClusters": self.clusters},
            "DescribeEvents": {"Events": self.events},
            "ListAllowedNodeTypeModifications": {
                "ScaleUpModifications": ["cache.t4g.small"]
            },
            "DescribeCacheEngineVersions": {
                "CacheEngineVersions": [{"Engine": "valkey", "EngineVersion": "8.1"}]
            },
            "DescribeUpdateActions": {"UpdateActions": self.updates},
            "ListTagsForResource": {
                "TagList": [{"Key": "loadprobe:mark", "Value": "7f3a"}]
            },
        }
        return replies[operation]

    # The topology watch

    async def wait_for(
        self, predicate: Callable[[Topology], bool], deadline_s: float
    ) -> bool:
        """Answer as the topology watch does."""
        if self.current is not None and predicate(self.current):
            return True
        await asyncio.sleep(deadline_s)
        return False

    async def linked_replicas(self, shard: str) -> int:
        """Answer as the topology watch does."""
        assert self.current is not None
        found = next(s for s in self.current.shards if s.name == shard)
        return len(found.replicas) if self.linked is None else self.linked

    endpoint_move: NameMove | None = None
    is_endpoint_behind = False

    def is_at(self, endpoint: Endpoint | None) -> bool:
        """Tell that what is watched is the group itself."""
        return endpoint is not None

    async def follows_source(self, endpoint: Endpoint) -> bool:
        """Answer as the topology watch does."""
        assert endpoint == Endpoint("here", 6379)
        return self.is_in_step

    def follow(self, group: Group) -> None:
        """Take what the topology watch takes."""

    def use_password(self, password: Secret) -> None:
        """Take what the topology watch takes."""
        self.password = password


_OPERATIONS = {method: operation for operation, method in _METHODS.items()}


def api_of(provider: Provider) -> ElastiCacheApi:
    """Return the open API of a provider, which waits for nothing."""
    return ElastiCacheApi(
        Calls(provider, provider, where="here", throttle_backoff_s=0),
        group_id="rg",
        where="here",
        kind=provider.kind,
    )


class Story:
    """One mutation of a provider's group, and the phases it emitted."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.events: list[Event] = []
        self.api = api_of(provider)

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

    def seconds(self, phase: str) -> float:
        """Return when a phase was entered."""
        found = (e.mono_ns for e in self.entered if e.details.phase == phase)
        return next(found) / 1_000_000_000

    async def mutate(
        self,
        mutation: Mutation,
        *,
        step: str = "step",
        deadline_s: float = 600.0,
        ready_s: float | None = None,
        obstacle: Callable[[], str] = lambda: "",
    ) -> StepRecord:
        """Carry it out, looking every five seconds."""
        return await mutate(
            self.api,
            mutation,
            Phases(step, mutation.operation, self.events.append),
            topology=self.provider,
            pace=TimeLimits(deadline_s, poll_s=5.0, evidence_s=60.0, ready_s=ready_s),
            caller=Caller(obstacle),
        )


def node(shard: str, number: int) -> Node:
    """Return a node of a shard."""
    return Node(f"{shard}-{number}", "10.0.0.1", 7000 + 10 * int(shard) + number)


def nodes(shard: str, replicas: int) -> tuple[Node, ...]:
    """Return the replicas of a shard."""
    return tuple(node(shard, number + 1) for number in range(replicas))
