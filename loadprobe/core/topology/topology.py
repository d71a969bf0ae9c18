"""Who serves which slots, put together from the views of single nodes.

Pure. Nodes answer from what they know, and some know old things: a primary that was
killed and restarted serves its last view for a moment. Views are therefore merged by
config epoch, and for every slot the claim with the highest epoch wins.

A shard keeps its name through failovers and resharding: it follows its nodes.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from loadprobe.core.topology.slots import SLOTS

Range = tuple[int, int]
LARGEST_PORT = 65535


def join_address(host: str, port: int) -> str:
    """Return host:port, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A server as announced by the cluster."""

    id: str
    host: str
    port: int

    @property
    def address(self) -> str:
        """Return host:port, an IPv6 host in brackets."""
        return join_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Shard:
    """A primary with its slots and replicas.

    Args:
        name: "0001", "0002" ... by lowest slot when it was first seen.
        ranges: slots, both ends included, ascending.
        primary: who serves them.
        replicas: its healthy replicas.
        epoch: config epoch of the primary, 0 if unknown.
        members: ids of all nodes that ever belonged to it.
    """

    name: str
    ranges: tuple[Range, ...]
    primary: Node
    replicas: tuple[Node, ...]
    epoch: int
    members: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Topology:
    """All shards, by name.

    Args:
        shards: the shards that have slots.
        names_given: how many names were given so far; none is used twice.
    """

    shards: tuple[Shard, ...]
    names_given: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class SlotsView:
    """CLUSTER SLOTS of one node: (first, last, primary, replicas) per row."""

    rows: tuple[tuple[int, int, Node, tuple[Node, ...]], ...]


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One node in CLUSTER NODES.

    Args:
        id: its id.
        flags: what it is, as it is told.
        primary_id: id of its primary, None if it is one.
        epoch: its config epoch.
        address: ``ip:port@bus``, with the hostname after a comma if it has one.
    """

    id: str
    flags: frozenset[str]
    primary_id: str | None
    epoch: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class NodesView:
    """CLUSTER NODES of one node, by node id."""

    nodes: dict[str, NodeLine]

    @property
    def teller(self) -> str:
        """Return the id of the node that told it; "" if it does not say."""
        lines = self.nodes.values()
        return next((line.id for line in lines if "myself" in line.flags), "")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def parse_slots(reply: object, *, asked_host: str) -> SlotsView:
    """Read a reply to CLUSTER SLOTS (Redis 4 to 8, Valkey 7.2 to 9).

    Args:
        reply: rows of [first, last, primary, replica...], each node being
            [endpoint, port, id, ...] with bytes or str texts.
        asked_host: stands for an endpoint that is nil or empty, and for "?" (the node
            has no hostname) if no address is given beside it.

    Raises:
        ValueError: the reply has another shape, or tells of more slots than there are,
            or of ports that cannot be.
    """
    rows = []
    if not isinstance(reply, list):
        raise ValueError("CLUSTER SLOTS is no list")  # noqa: TRY004 - of theirs
    if len(reply) > SLOTS:
        raise ValueError(f"CLUSTER SLOTS has {len(reply)} rows")
    for row in reply:
        if not isinstance(row, list) or len(row) < 3:
            raise ValueError(f"CLUSTER SLOTS row {row!r} has no primary")
        try:
            nodes = [_parse_node(entry, asked_host) for entry in row[2:]]
            first, last = int(row[0]), int(row[1])
        except TypeError as exc:
            raise ValueError(f"CLUSTER SLOTS row {row!r}: {exc}") from exc
        if not 0 <= first <= last < SLOTS:
            raise ValueError(f"CLUSTER SLOTS tells of slots {first} to {last}")
        rows.append((first, last, nodes[0], tuple(nodes[1:])))
    return SlotsView(tuple(rows))


def _parse_node(entry: object, asked_host: str) -> Node:
    if not isinstance(entry, list) or len(entry) < 3:
        raise ValueError(f"CLUSTER SLOTS node {entry!r} lacks endpoint, port or id")
    endpoint = _text(entry[0]) if entry[0] is not None else ""
    if endpoint == "?" and len(entry) > 3:
        more = [_text(item) for item in entry[3]]  # [name, value, name, value...]
        endpoint = dict(zip(more[::2], more[1::2], strict=True)).get("ip", "")
    host = asked_host if endpoint in ("", "?") else endpoint
    port = int(entry[1])
    if not 0 <= port <= LARGEST_PORT:
        raise ValueError(f"CLUSTER SLOTS tells of port {port}")
    return Node(_text(entry[2]), host, port)


def parse_nodes(text: bytes) -> NodesView:
    """Read a reply to CLUSTER NODES.

    Line format: id, address, flags, primary, ping, pong, epoch, link state, slots.

    Raises:
        ValueError: a line has too few fields.
    """
    nodes: dict[str, NodeLine] = {}
    for line in text.decode().splitlines():
        parts = line.split(" ")
        if len(parts) < 8:
            raise ValueError(f"CLUSTER NODES line {line!r} has {len(parts)} fields")
        primary = None if parts[3] == "-" else parts[3]
        nodes[parts[0]] = NodeLine(
            parts[0], frozenset(parts[2].split(",")), primary, int(parts[6]), parts[1]
        )
    return NodesView(nodes)


def single(host: str, port: int) -> Topology:
    """Return the topology of one endpoint without cluster mode."""
    node = Node("", host, port)
    return Topology((Shard("0001", ((0, SLOTS - 1),), node, (), 0),), 1)


class _Claim(NamedTuple):
    """A primary's claim to a range of slots, both ends included."""

    first: int
    last: int
    epoch: int
    primary: Node


def merge(
    previous: Topology | None,
    slots: SlotsView,
    nodes: NodesView | None,
    *,
    afresh: bool = False,
) -> Topology:
    """Merge one node's view into what is known.

    A slot goes to the claim with the higher epoch; of equal epochs, the newer view
    counts. Without epochs (nodes is None) the view is taken as it is, and so is one of
    a cluster in which none of the known nodes exists (it was created anew).

    The two replies of a view are not of one moment: a node that is no primary in
    CLUSTER NODES claims nothing, for the epoch it shows is that of its new primary.

    Only claims that are new are worked on, so an unchanged view costs next to nothing.

    Args:
        previous: what is known.
        slots: its CLUSTER SLOTS.
        nodes: its CLUSTER NODES, or None.
        afresh: what is known is another cluster's, or told for another transport:
            nothing of it is left but the names of shards that can be recognised.
    """
    claims: list[_Claim] = []
    replicas: dict[Node, tuple[Node, ...]] = {}
    epochs: dict[Node, int] = {}
    if (
        previous is not None
        and nodes is not None
        and not afresh
        and _is_same_cluster(previous, nodes)
    ):
        for shard in previous.shards:
            replicas[shard.primary] = shard.replicas
            epochs[shard.primary] = shard.epoch
            claims += [
                _Claim(first, last, shard.epoch, shard.primary)
                for first, last in shard.ranges
            ]
        claims.sort()
    known = set(claims)
    for first, last, primary, followers in slots.rows:
        line = nodes.nodes.get(primary.id) if nodes is not None else None
        if line is not None and "master" not in line.flags:
            continue
        claim = _Claim(first, last, line.epoch if line is not None else 0, primary)
        if claim not in known:
            claims, won = _add_claim(claims, claim)
            if not won:
                continue
        replicas[primary] = followers
        epochs[primary] = claim.epoch
    return _name_shards(previous, _ranges(claims), replicas, epochs, nodes)


def _is_same_cluster(previous: Topology, nodes: NodesView) -> bool:
    return any(
        node.id in nodes.nodes
        for shard in previous.shards
        for node in (shard.primary, *shard.replicas)
    )


def _add_claim(claims: list[_Claim], new: _Claim) -> tuple[list[_Claim], bool]:
    """Return the claims after a new one took what it wins, and whether it won any.

    Args:
        claims: disjoint and ascending.
        new: may overlap any of them.
    """
    # Only those that it overlaps are looked at: there may be as many as slots.
    begin = bisect_left(claims, new.first, key=lambda old: old.last)
    end = bisect_right(claims, new.last, lo=begin, key=lambda old: old.first)
    result: list[_Claim] = []
    cursor = new.first
    won = False
    for old in claims[begin:end]:
        if cursor < old.first:
            result.append(new._replace(first=cursor, last=old.first - 1))
            won = True
        if new.epoch >= old.epoch:
            won = True
            if old.first < new.first:
                result.append(old._replace(last=new.first - 1))
            result.append(
                new._replace(
                    first=max(old.first, new.first), last=min(old.last, new.last)
                )
            )
            if old.last > new.last:
                result.append(old._replace(first=new.last + 1))
        else:
            result.append(old)
        cursor = min(old.last, new.last) + 1
    if cursor <= new.last:
        result.append(new._replace(first=cursor))
        won = True
    return [*claims[:begin], *sorted(result), *claims[end:]], won


def _ranges(claims: list[_Claim]) -> dict[Node, tuple[Range, ...]]:
    """Return the slots of every primary, adjoining ranges joined."""
    found: dict[Node, list[Range]] = {}
    for claim in claims:
        ranges = found.setdefault(claim.primary, [])
        if ranges and ranges[-1][1] + 1 == claim.first:
            ranges[-1] = (ranges[-1][0], claim.last)
        else:
            ranges.append((claim.first, claim.last))
    return {primary: tuple(ranges) for primary, ranges in found.items()}


def _name_shards(
    previous: Topology | None,
    ranges: dict[Node, tuple[Range, ...]],
    replicas: dict[Node, tuple[Node, ...]],
    epochs: dict[Node, int],
    nodes: NodesView | None,
) -> Topology:
    """Give every shard its name."""
    old = {shard.name: shard for shard in previous.shards} if previous else {}
    given = previous.names_given if previous is not None else 0
    names = _known_names(old, ranges, replicas, nodes)
    for primary in sorted(ranges, key=lambda node: ranges[node]):
        if primary not in names:
            given += 1
            names[primary] = f"{given:04d}"
    shards = []
    for primary, slots in ranges.items():
        name = names[primary]
        former = old[name].members if name in old else frozenset()
        followers = tuple(sorted(n for n in replicas[primary] if n not in ranges))
        members = former | {primary.id, *(node.id for node in followers)}
        shards.append(Shard(name, slots, primary, followers, epochs[primary], members))
    return Topology(tuple(sorted(shards, key=lambda shard: shard.name)), given)


def _known_names(
    old: dict[str, Shard],
    ranges: dict[Node, tuple[Range, ...]],
    replicas: dict[Node, tuple[Node, ...]],
    nodes: NodesView | None,
) -> dict[Node, str]:
    """Return the names of the primaries that continue a shard."""
    names: dict[Node, str] = {}
    free = dict(old)
    primaries = {shard.primary.id: name for name, shard in free.items()}
    for primary in ranges:  # 1. the shard that it was the primary of
        if primary.id in primaries:
            names[primary] = primaries.pop(primary.id)
            del free[names[primary]]
    for primary in ranges:  # 2. the shard that it or its replicas belong to
        if primary in names:
            continue
        related = {primary.id, *(node.id for node in replicas[primary])}
        if nodes is not None:
            related.update(
                line.id
                for line in nodes.nodes.values()
                if line.primary_id == primary.id
            )
        for name, shard in free.items():
            if primary.id in shard.members or (
                shard.primary.id in related and shard.primary not in ranges
            ):
                names[primary] = name
                del free[name]
                break
    for primary, slots in ranges.items():  # 3. whose slots it took over
        if primary in names:
            continue
        for name, shard in free.items():
            if shard.primary not in ranges and slots == shard.ranges:
                names[primary] = name
                del free[name]
                break
    return names
