"""Move a batch of slots, with their keys, from one primary to another.

Two ways:

* Slot by slot, key by key, as every server can (redis.io/commands/cluster-setslot).
  Clients are redirected with ASK meanwhile.
* Atomically, where both servers are Valkey 9 or newer: clients notice nothing until the
  slots have moved. (Key by key is slow there: every SETSLOT waits for the replicas of
  the node, some milliseconds each; valkey 9.1.2, observed.)
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import hiredis

from loadprobe.errors import RunError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import until, within
from loadprobe.local.cluster.layout import ranges_of
from loadprobe.local.cluster.node import LocalNode

_T = TypeVar("_T")
_ATOMIC_SINCE = 9  # major version of Valkey
_ATOMIC_BATCH_SLOTS = 512
_BATCH_SLOTS = 64
_MIGRATE_KEYS = 64
# Commands sent together are executed without a break, and block everyone else.
_MIGRATE_COMMANDS = 16
_MIGRATE_TIMEOUT_MS = 5_000
_PIPELINE_TIMEOUT_S = 30.0
_ATOMIC_TIMEOUT_S = 60.0


def batch_slots(source: LocalNode, target: LocalNode) -> int:
    """Return how many slots to move at once, so that a batch takes about 0.1 s."""
    return _ATOMIC_BATCH_SLOTS if _can_atomically(source, target) else _BATCH_SLOTS


def batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Cut a sequence into parts of ``size`` items; the last may be shorter."""
    return (items[first : first + size] for first in range(0, len(items), size))


async def move_slots(
    cluster: LocalCluster,
    source: LocalNode,
    target: LocalNode,
    slots: Sequence[int],
    *,
    others: Sequence[LocalNode],
) -> None:
    """Move slots with their keys.

    Args:
        cluster: the cluster.
        source: the primary that owns them.
        target: the primary that will.
        slots: the slots.
        others: the other primaries.

    Raises:
        RunError: a node refused or did not answer. Key by key, slots may be left open
            between the two then; moving them again closes them.
    """
    if _can_atomically(source, target):
        await _move_atomically(source, target, slots)
        return
    # The new owner is told first and the old one second: a slot that both disown would
    # have no owner for a moment. The others follow, so that they redirect rightly.
    await _set_slots(target, slots, "IMPORTING", source.node_id)
    await _set_slots(source, slots, "MIGRATING", target.node_id)
    await _move_keys(cluster, source, target, slots)
    for node in (target, source, *others):
        await _set_slots(node, slots, "NODE", target.node_id)


def _can_atomically(source: LocalNode, target: LocalNode) -> bool:
    return all(
        node.server.engine == "valkey"
        and int(node.server.version.partition(".")[0]) >= _ATOMIC_SINCE
        for node in (source, target)
    )


async def _move_atomically(
    source: LocalNode, target: LocalNode, slots: Sequence[int]
) -> None:
    what = f"moving the slots {slots[0]}..{slots[-1]} to {target.name}"
    words = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE"]
    for owned in ranges_of(slots):
        words += [str(owned.first), str(owned.last)]
    await source.command(*words, "NODE", target.node_id)
    newest: dict[str, str] = {}

    async def is_over() -> bool:
        pairs = (await source.command("CLUSTER", "GETSLOTMIGRATIONS"))[0]
        newest.update(zip(pairs[::2], pairs[1::2], strict=True))
        return newest["state"] in {"success", "failed", "cancelled"}

    async with within(_ATOMIC_TIMEOUT_S, what=what):
        await until(is_over)
    if newest["state"] != "success":
        raise RunError(f"{what}: it {newest['state']}: {newest['message']}")


async def _set_slots(
    node: LocalNode, slots: Sequence[int], state: str, node_id: str
) -> None:
    replies = await node.pipeline(
        [("CLUSTER", "SETSLOT", slot, state, node_id) for slot in slots],
        timeout_s=_PIPELINE_TIMEOUT_S,
    )
    for slot, reply in zip(slots, replies, strict=True):
        if reply != "OK":
            raise RunError(
                f"{node.name} refused CLUSTER SETSLOT {slot} {state} {node_id}: {reply}"
            )


async def _move_keys(
    cluster: LocalCluster, source: LocalNode, target: LocalNode, slots: Sequence[int]
) -> None:
    # Servers that talk TLS among themselves (tls-cluster) do so for MIGRATE, too.
    port = target.ports.tls if cluster.tls else target.ports.plain
    # REPLACE: what the source still holds is the truth; the target answers for keys
    # that the source has not (ASK).
    options = ["REPLACE"]
    if cluster.password is not None:
        options += ["AUTH2", "default", cluster.password]
    head = ("MIGRATE", target.host, port, "", 0, _MIGRATE_TIMEOUT_MS, *options, "KEYS")
    pending = list(slots)
    while pending:
        found = await source.pipeline(
            [("CLUSTER", "GETKEYSINSLOT", slot, _MIGRATE_KEYS) for slot in pending]
        )
        commands = [(*head, *keys) for keys in found if keys]
        for some in batches(commands, _MIGRATE_COMMANDS):
            replies = await source.pipeline(list(some), timeout_s=_PIPELINE_TIMEOUT_S)
            for reply in replies:
                if isinstance(reply, hiredis.ReplyError):
                    raise RunError(
                        f"{source.name} refused to migrate keys of the slots "
                        f"{slots[0]}..{slots[-1]} to {target.name}: {reply}"
                    )
        pending = [
            slot
            for slot, keys in zip(pending, found, strict=True)
            if len(keys) == _MIGRATE_KEYS
        ]
