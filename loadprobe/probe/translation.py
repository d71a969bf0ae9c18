"""What probes tell, in canonical names (see ``core.topology.shard_names``)."""

from collections import Counter

import msgspec

from loadprobe.core.judging.columns import Block, Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.probe.messages import (
    LaneHealth,
    ProbeSnapshot,
)


def read_blocks(snapshot: ProbeSnapshot, names: ShardNames) -> dict[Scope, Block]:
    """Return the arrivals of a snapshot by scope."""
    blocks: dict[Scope, Block] = {}
    for row in snapshot.blocks:
        shard = names.canonical((snapshot.process, row.lane), row.shard)
        block = blocks.setdefault(Scope(row.lane, shard, OpKind(row.op)), Block())
        block.due.frombytes(row.due)
        block.sent.frombytes(row.sent)
        block.done.frombytes(row.done)
        block.failures.frombytes(row.failures)
    return blocks


def translate_health(snapshot: ProbeSnapshot, names: ShardNames) -> ProbeSnapshot:
    """Return a snapshot whose health part has canonical names."""
    lanes = [_translate(health, snapshot.process, names) for health in snapshot.lanes]
    return msgspec.structs.replace(snapshot, lanes=lanes)


def _translate(health: LaneHealth, process: int, names: ShardNames) -> LaneHealth:
    def renamed(by_shard: dict[str, int]) -> dict[str, int]:
        total: Counter[str] = Counter()
        for local, count in by_shard.items():
            total[names.canonical((process, health.lane), local)] += count
        return dict(total)

    def placed(by_place: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
        total: Counter[tuple[str, str]] = Counter()
        for (local, label), count in by_place.items():
            # A node that a redirect named may be in no topology yet.
            shard = names.canonical((process, health.lane), local) if local else ""
            total[shard, label] += count
        return dict(total)

    return msgspec.structs.replace(
        health,
        redirects_by_shard=placed(health.redirects_by_shard),
        connects_by_shard=placed(health.connects_by_shard),
        connections=renamed(health.connections),
        acknowledged=renamed(health.acknowledged),
        stale=renamed(health.stale),
        replica_stale=renamed(health.replica_stale),
        absent=renamed(health.absent),
        expired=renamed(health.expired),
        wrong=renamed(health.wrong),
    )
