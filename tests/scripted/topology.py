"""Who owns which slot, and how a Redis 7.0 node tells it.

Pure. Formats as printed by redis-server 7.0.15.
"""

from dataclasses import dataclass, field
from itertools import groupby

from loadprobe.core.topology.slots import SLOTS
from tests.scripted.resp import Reply

HOST = "127.0.0.1"
_BUS_PORT_OFFSET = 10_000


@dataclass(slots=True)
class Member:
    """One node as the cluster sees it.

    Args:
        node_id: 40 hexadecimal digits.
        shard: index of its shard.
        port: plaintext port.
        tls_port: TLS port, if it has one.
        is_primary: its role now.
    """

    node_id: str
    shard: int
    port: int
    tls_port: int | None
    is_primary: bool

    def port_for(self, *, tls: bool) -> int:
        """Return the port of the asker's own kind."""
        return self.tls_port if tls and self.tls_port is not None else self.port


@dataclass(slots=True)
class Topology:
    """The one truth that all nodes tell.

    Args:
        members: all nodes; exactly one primary a shard.
        owners: shard index by slot, ``SLOTS`` entries.
        epochs: config epoch by shard.
        ranges: (first slot, last slot, shard), sorted; follows ``owners``.
    """

    members: list[Member]
    owners: list[int] = field(init=False)
    epochs: list[int] = field(init=False)
    ranges: list[tuple[int, int, int]] = field(init=False)

    def __post_init__(self) -> None:
        shards = 1 + max(member.shard for member in self.members)
        self.owners = [slot * shards // SLOTS for slot in range(SLOTS)]
        self.epochs = list(range(1, shards + 1))
        self._recount()

    def primary(self, shard: int) -> Member:
        """Return the primary of a shard."""
        return next(m for m in self.members if m.shard == shard and m.is_primary)

    def of_shard(self, shard: int) -> list[Member]:
        """Return the nodes of a shard, primary first."""
        members = [member for member in self.members if member.shard == shard]
        return sorted(members, key=lambda member: not member.is_primary)

    def move_slots(self, first: int, last: int, to_shard: int) -> None:
        """Give slots first..last to a shard, under a new epoch.

        Raises:
            ValueError: no such slots or shard.
        """
        self._check_shard(to_shard)
        if not 0 <= first <= last < SLOTS:
            raise ValueError(f"moving slots {first}-{last}: expected 0-{SLOTS - 1}")
        self.owners[first : last + 1] = [to_shard] * (last + 1 - first)
        self.epochs[to_shard] = max(self.epochs) + 1
        self._recount()

    def promote(self, shard: int) -> None:
        """Swap the roles of a shard's primary and its first replica, in a new epoch.

        Raises:
            ValueError: no such shard, or it has no replica.
        """
        self._check_shard(shard)
        old, *replicas = self.of_shard(shard)
        if not replicas:
            raise ValueError(f"promoting in shard {shard}: it has no replica")
        old.is_primary = False
        replicas[0].is_primary = True
        self.epochs[shard] = max(self.epochs) + 1

    def slots_reply(self, *, tls: bool) -> Reply:
        """Return the answer to CLUSTER SLOTS."""
        return [
            [
                first,
                last,
                *(
                    [HOST, member.port_for(tls=tls), member.node_id, []]
                    for member in self.of_shard(shard)
                ),
            ]
            for first, last, shard in self.ranges
        ]

    def nodes_text(self, myself: Member, *, tls: bool) -> str:
        """Return the answer to CLUSTER NODES."""
        return "".join(
            self._nodes_line(member, myself, tls=tls) for member in self.members
        )

    def shards_reply(self) -> Reply:
        """Return the answer to CLUSTER SHARDS."""
        return [
            [
                "slots",
                [
                    bound
                    for first, last, owner in self.ranges
                    if owner == shard
                    for bound in (first, last)
                ],
                "nodes",
                [_shard_member(member) for member in self.of_shard(shard)],
            ]
            for shard in range(len(self.epochs))
        ]

    def info_text(self) -> str:
        """Return the answer to CLUSTER INFO."""
        lines = {
            "cluster_state": "ok",
            "cluster_slots_assigned": SLOTS,
            "cluster_slots_ok": SLOTS,
            "cluster_slots_pfail": 0,
            "cluster_slots_fail": 0,
            "cluster_known_nodes": len(self.members),
            "cluster_size": len({owner for _, _, owner in self.ranges}),
            "cluster_current_epoch": max(self.epochs),
        }
        return "".join(f"{name}:{value}\r\n" for name, value in lines.items())

    def _nodes_line(self, member: Member, myself: Member, *, tls: bool) -> str:
        role = "master" if member.is_primary else "slave"
        fields = [
            member.node_id,
            f"{HOST}:{member.port_for(tls=tls)}@{member.port + _BUS_PORT_OFFSET}",
            f"myself,{role}" if member is myself else role,
            "-" if member.is_primary else self.primary(member.shard).node_id,
            "0",
            "0",
            str(self.epochs[member.shard]),
            "connected",
        ]
        if member.is_primary:
            fields += [
                str(first) if first == last else f"{first}-{last}"
                for first, last, shard in self.ranges
                if shard == member.shard
            ]
        return " ".join(fields) + "\n"

    def _check_shard(self, shard: int) -> None:
        if not 0 <= shard < len(self.epochs):
            raise ValueError(
                f"shard {shard}: there are only 0 to {len(self.epochs) - 1}"
            )

    def _recount(self) -> None:
        self.ranges = []
        first = 0
        for shard, run in groupby(self.owners):
            length = len(list(run))
            self.ranges.append((first, first + length - 1, shard))
            first += length


def _shard_member(member: Member) -> Reply:
    ports: list[Reply] = ["port", member.port]
    if member.tls_port is not None:
        ports += ["tls-port", member.tls_port]
    return [
        "id",
        member.node_id,
        *ports,
        "ip",
        HOST,
        "endpoint",
        HOST,
        "role",
        "master" if member.is_primary else "replica",
        "replication-offset",
        0,
        "health",
        "online",
    ]
