"""What servers tell of themselves second by second, in rows that can be added up.

Pure, times are passed in. Nothing of it is judged: it stands beside what clients saw.
Operations and CPU time are differences of counters, so that they are exact over any
time; of connections, memory and lag a longer step keeps the most there was.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S

PRIMARY, REPLICA = "primary", "replica"

_SAME_MOMENT_NS = NS_PER_S // 2
"""Answers of a primary and its replica that lie further apart tell no lag."""

_LONGEST_SPAN_NS = 60 * NS_PER_S
"""Of a server that was not heard of for longer, counting begins anew."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What a server tells of itself at one moment.

    Args:
        at_ns: monotonic time of the answer.
        role: primary or replica.
        ops: commands it did since it was started.
        cpu_ms: CPU time it took since then.
        clients: connections it has, of anybody.
        max_clients: connections it may have; None if it does not tell.
        ops_per_s: commands it did lately, as it says itself.
        memory_bytes: what its data and buffers take.
        offset: in the stream of replication; what it has written or received.
        is_linked: a replica has its primary; None of a primary.
    """

    at_ns: int
    role: str
    ops: int
    cpu_ms: int
    clients: int
    max_clients: int | None
    ops_per_s: int
    memory_bytes: int
    offset: int
    is_linked: bool | None


class ServerRow(msgspec.Struct, frozen=True):
    """One line of ``servers.ndjson``: a server in the second before it answered.

    ``second`` is monotonic. ``ops`` and ``cpu_ms`` are those of ``span_ms``, which is 0
    where there is nothing to compare with. ``lag_bytes`` is what a replica has not
    received of what its primary has written; null of a primary, or if one of them did
    not answer. ``unlinked_ms`` is the time in which a replica had no primary.
    """

    node: str
    shard: str
    role: str
    second: int
    span_ms: int
    ops: int
    cpu_ms: int
    clients: int
    memory_bytes: int
    lag_bytes: int | None
    unlinked_ms: int


Placed = tuple[str, str]
"""A server: the name of its shard, and its address."""


class ServerSide:
    """Makes rows of answers; it remembers the one before of every server."""

    def __init__(self) -> None:
        self._before: dict[str, ServerAnswer] = {}

    def rows(self, answers: Mapping[Placed, ServerAnswer]) -> list[ServerRow]:
        """Return the rows of one look at the servers, in the order of their names."""
        primaries: dict[str, ServerAnswer] = {}
        for (shard, _), answer in answers.items():
            if answer.role == PRIMARY:
                known = primaries.get(shard, answer)
                primaries[shard] = max(known, answer, key=lambda one: one.offset)
        rows = [
            self._row(shard, node, answer, primaries.get(shard))
            for (shard, node), answer in sorted(answers.items(), key=lambda at: at[0])
        ]
        self._before |= {node: answer for (_, node), answer in answers.items()}
        return rows

    def forget(self, before_ns: int) -> None:
        """Forget servers that were not heard of since a time."""
        self._before = {k: v for k, v in self._before.items() if v.at_ns >= before_ns}

    def _row(
        self, shard: str, node: str, answer: ServerAnswer, primary: ServerAnswer | None
    ) -> ServerRow:
        before = self._before.get(node)
        span_ns = 0 if before is None else answer.at_ns - before.at_ns
        # Counters that fell are those of another process at the same address.
        if (
            before is None
            or span_ns > _LONGEST_SPAN_NS
            or answer.ops < before.ops
            or answer.cpu_ms < before.cpu_ms
        ):
            before, span_ns = answer, 0
        return ServerRow(
            node=node,
            shard=shard,
            role=answer.role,
            second=max(0, (answer.at_ns + NS_PER_S // 2) // NS_PER_S - 1),
            span_ms=span_ns // NS_PER_MS,
            ops=answer.ops - before.ops,
            cpu_ms=answer.cpu_ms - before.cpu_ms,
            clients=answer.clients,
            memory_bytes=answer.memory_bytes,
            lag_bytes=_lag(answer, primary),
            unlinked_ms=span_ns // NS_PER_MS if answer.is_linked is False else 0,
        )


def _lag(replica: ServerAnswer, primary: ServerAnswer | None) -> int | None:
    if replica.role == PRIMARY or primary is None:
        return None
    if abs(replica.at_ns - primary.at_ns) > _SAME_MOMENT_NS:
        return None
    return max(0, primary.offset - replica.offset)


def added(one: ServerRow, other: ServerRow) -> ServerRow:
    """Return two rows of one server as one, which begins when the first does."""
    lags = [row.lag_bytes for row in (one, other) if row.lag_bytes is not None]
    return ServerRow(
        node=one.node,
        shard=one.shard,
        role=one.role,
        second=min(one.second, other.second),
        span_ms=one.span_ms + other.span_ms,
        ops=one.ops + other.ops,
        cpu_ms=one.cpu_ms + other.cpu_ms,
        clients=max(one.clients, other.clients),
        memory_bytes=max(one.memory_bytes, other.memory_bytes),
        lag_bytes=max(lags, default=None),
        unlinked_ms=one.unlinked_ms + other.unlinked_ms,
    )
