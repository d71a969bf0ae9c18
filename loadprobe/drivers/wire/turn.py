"""One turn of the event loop: what was replied in it, and what a closed loop sends.

Replies that are literally the expected ones are collected and reported together: what
is the same for all of them is done once. Whatever a closed loop sends then is written
together, too. Writing in the midst of reading wakes the servers for every command; this
way most find them awake.
"""

import asyncio
from collections.abc import Callable, Sequence

from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, Sink
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.node import WireNode

Forward = Callable[[Arrival, WireNode], None]
"""Sends an arrival on whatever connection a node has, or reports that it has none."""


class LoopTurn:
    """Collects what connections match, and reports it at the end of the turn.

    Args:
        sink: receives it.
        value_bytes: the longest value that can be read.

    Attributes:
        matched: arrivals whose expected reply has come; always the same list.
        most_bytes: how much of a reply is kept until its end comes.
        replied: takes all other replies, at once.
        unread_since: tells since when what is read now may have waited to be read.
        looked_since: tells before when what is noticed now had not come yet.
    """

    def __init__(self, sink: Sink, *, value_bytes: int) -> None:
        self._expected = sink.expected
        self._call_soon = asyncio.get_running_loop().call_soon
        self.matched: list[Arrival] = []
        self.most_bytes = value_bytes + resp.SLACK_BYTES
        self.replied = sink.replied
        self.unread_since = sink.unread_since
        self.looked_since = sink.looked_since

    def wake(self) -> None:
        """Report at the end of this turn."""
        self._call_soon(self.deliver)

    def deliver(self) -> None:
        """Report what has come."""
        matched = self.matched
        if matched:
            arrivals = matched[:]
            matched.clear()
            self._expected(arrivals)


def send_on_idle(
    owner: list[WireNode], arrivals: Sequence[Arrival], forward: Forward
) -> None:
    """Send on the connections that became idle last: their buffers are warm.

    Node after node, so that a server that was woken for the first command is still
    awake for the others: waking costs as much as sending.

    Args:
        owner: the node of every slot.
        arrivals: those of a closed loop, due now.
        forward: for arrivals that find no idle connection.
    """
    by_node: dict[WireNode, list[Arrival]] = {}
    for arrival in arrivals:
        node = owner[arrival.slot]
        group = by_node.get(node)
        if group is None:
            by_node[node] = [arrival]
        else:
            group.append(arrival)
    for node, group in by_node.items():
        free = node.free
        for arrival in group:
            if not free:
                forward(arrival, node)
                continue
            connection = free.pop()
            arrival.sent = arrival.due
            connection.pending.append(arrival)
            connection.write(arrival.command)


def send_on_shared(
    owner: list[WireNode], arrivals: Sequence[Arrival], forward: Forward, *, width: int
) -> None:
    """Send on connections that workers share, with one write for each connection.

    Args:
        owner: the node of every slot.
        arrivals: those of a closed loop, due now.
        forward: for arrivals whose connection is away.
        width: connections of a node.
    """
    batches: dict[Connection, list[bytes]] = {}
    homeless: list[Arrival] = []
    for arrival in arrivals:
        connection = owner[arrival.slot].by_worker[arrival.worker % width]
        if connection is None:
            homeless.append(arrival)
            continue
        arrival.sent = arrival.due
        connection.pending.append(arrival)
        batch = batches.get(connection)
        if batch is None:
            batches[connection] = [arrival.command]
        else:
            batch.append(arrival.command)
    for connection, batch in batches.items():
        connection.write(b"".join(batch))
    for arrival in homeless:
        forward(arrival, owner[arrival.slot])
