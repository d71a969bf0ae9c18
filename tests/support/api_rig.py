"""A control plane with an SDK client, and what a poller sees of its groups."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode

DEADLINE_S = 40.0
QUICK = Knobs(modifying_delay_s=0.2, settle_delay_s=0.25, detect_s=0.5)


@dataclass(slots=True)
class Seen:
    """What a poller saw of a group, without repetitions.

    Args:
        statuses: of the group.
        pending: of the group.
        shards: node group id -> statuses.
        nodes: node -> statuses.
        node_pending: node -> pending values.
        last: the group at the end.
    """

    statuses: list[str] = field(default_factory=list)
    pending: list[dict[str, Any]] = field(default_factory=list)
    shards: dict[str, list[str]] = field(default_factory=dict)
    nodes: dict[str, list[str]] = field(default_factory=dict)
    node_pending: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def busy(self, final: str = "available") -> list[str]:
        """Return the statuses other than the settled one, in their order."""
        return [
            status for status in self.statuses if status not in ("available", final)
        ]

    @property
    def was_pending(self) -> list[dict[str, Any]]:
        """The pending values of the group, without those before and after."""
        return [pending for pending in self.pending if pending]


@dataclass(frozen=True, slots=True)
class Rig:
    """A control plane and an SDK client of it that never retries."""

    plane: ControlPlane
    client: Any

    async def group(self, group_id: str) -> dict[str, Any]:
        """Describe one group."""
        reply = await self.client.describe_replication_groups(
            ReplicationGroupId=group_id
        )
        (group,) = reply["ReplicationGroups"]
        return dict(group)

    async def watch(self, group_id: str, *, final: str = "available") -> Seen:
        """Poll a group until it was busy and is settled again."""
        seen = Seen()
        async with asyncio.timeout(DEADLINE_S):
            while not (seen.busy(final) and seen.statuses[-1] == final):
                seen.last = await self.group(group_id)
                await self._note(seen, seen.last)
                await asyncio.sleep(0.02)
        return seen

    async def _note(self, seen: Seen, group: dict[str, Any]) -> None:
        note(seen.statuses, group["Status"])
        note(seen.pending, group["PendingModifiedValues"])
        for shard in group["NodeGroups"]:
            note(seen.shards.setdefault(shard["NodeGroupId"], []), shard["Status"])
        for node in (await self.client.describe_cache_clusters())["CacheClusters"]:
            if node["ReplicationGroupId"] == group["ReplicationGroupId"]:
                name = node["CacheClusterId"]
                note(seen.nodes.setdefault(name, []), node["CacheClusterStatus"])
                note(
                    seen.node_pending.setdefault(name, []),
                    node["PendingModifiedValues"],
                )

    async def texts(self) -> list[str]:
        """Return the texts of all events."""
        events = (await self.client.describe_events())["Events"]
        return [f"{event['SourceIdentifier']}: {event['Message']}" for event in events]

    async def until_event(self, text: str, *, times: int = 1) -> list[str]:
        """Wait for an event, or for several of a text; return all texts."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                texts = await self.texts()
                if sum(text in each for each in texts) >= times:
                    return texts
                await asyncio.sleep(0.03)

    async def refused(self, operation: str, **arguments: Any) -> str:
        """Call an operation that must be refused; return the fault's code."""
        with pytest.raises(ClientError) as caught:
            await getattr(self.client, operation)(**arguments)
        return str(caught.value.response["Error"]["Code"])

    async def modify(self, group_id: str, **changes: Any) -> Seen:
        """Modify a group immediately and watch it to the end."""
        reply = await self.client.modify_replication_group(
            ReplicationGroupId=group_id, ApplyImmediately=True, **changes
        )
        # The status flips later, whatever was accepted.
        assert reply["ReplicationGroup"]["Status"] == "available"
        return await self.watch(group_id)


def note(values: list[Any], value: Any) -> None:
    """Append a value unless it is the last one."""
    if not values or values[-1] != value:
        values.append(value)


@contextlib.asynccontextmanager
async def rig(knobs: Knobs = QUICK) -> AsyncIterator[Rig]:
    """Run a control plane and connect an SDK client."""
    async with (
        ControlPlane(knobs=knobs) as plane,
        aioboto3.Session().client(
            "elasticache",
            region_name="us-east-1",
            endpoint_url=plane.endpoint_url,
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=2),
        ) as client,
    ):
        yield Rig(plane, client)


def creation(group_id: str, **more: Any) -> dict[str, Any]:
    """Return the arguments that create a group."""
    return {
        "ReplicationGroupId": group_id,
        "ReplicationGroupDescription": "made by a test",
        "Engine": "redis",
        **more,
    }


async def read_all(cluster: LocalCluster) -> set[str]:
    """Return the keys on the primaries of a cluster."""
    found: set[str] = set()
    for shard in cluster.shards:
        primary = await cluster.primary_of(shard.node_group_id)
        found |= set(await primary.command("KEYS", "*"))
    return found


async def write(cluster: LocalCluster, keys: int) -> set[str]:
    """Write keys to whichever primary takes them."""
    names = {f"key:{number}" for number in range(keys)}
    for shard in cluster.shards:
        primary = await cluster.primary_of(shard.node_group_id)
        await primary.pipeline([("SET", name, "value") for name in sorted(names)])
    return names


async def logs_in(node: LocalNode, token: str) -> bool:
    """Tell whether a token is taken by a server."""
    reader, writer = await asyncio.open_connection(node.host, node.ports.plain)
    try:
        writer.write(f"AUTH {token}\r\n".encode())
        return (await reader.readline()).startswith(b"+OK")
    finally:
        writer.close()
        await writer.wait_closed()
