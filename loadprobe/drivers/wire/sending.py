"""What becomes of arrivals: sent to the node of their slot, or failed, once each.

No hidden retry and no backoff. An arrival goes out on its worker's connection, else on
any live connection to that node, else it is unsent. MOVED and ASK are followed and
counted.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import hiredis

from loadprobe.clock import mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, DriverStats, Sink
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.settings import DriverSettings
from loadprobe.drivers.wire.keeper import KeeperDriver
from loadprobe.drivers.wire.members import Members
from loadprobe.drivers.wire.node import WireNode
from loadprobe.drivers.wire.redirect import parse_redirect
from loadprobe.drivers.wire.turn import LoopTurn, send_on_idle, send_on_shared

_MAX_REDIRECTS = 5


class Keeping(KeeperDriver, Protocol):
    """What sending needs of the driver: connections, and news of the topology."""

    def hurry(self) -> None:
        """Look at the topology soon."""


class Sending:
    """Sends the arrivals of one lane, and reports the end of each.

    Args:
        settings: what the lane asks.
        sink: receives the end of every arrival.
        keeping: keeps the connections.

    Attributes:
        members: the nodes, and which of them every slot goes to.
        stats: what was counted since ``take_stats`` was called last.
        submit: sends arrivals that are due now.
        deliver: reports at once what was replied in this turn of the loop.
    """

    def __init__(
        self, settings: DriverSettings, sink: Sink, *, keeping: Keeping
    ) -> None:
        turn = LoopTurn(sink, value_bytes=settings.value_bytes)
        self._sink = sink
        self._keeping = keeping
        self._is_cluster = settings.target.cluster
        self._max_in_flight = settings.max_in_flight
        self.stats = DriverStats()
        self.members = Members(
            self,
            keeping,
            replies=turn,
            workers=settings.workers,
            closed_loop=settings.sending == "closed",
            read_from=settings.read_from,
        )
        self._owner = self.members.owner
        self.deliver = turn.deliver
        self.submit = self._make_submit(settings)

    def _make_submit(
        self, settings: DriverSettings
    ) -> Callable[[Sequence[Arrival]], None]:
        match settings.sending:
            case "closed":
                return partial(send_on_idle, self._owner, forward=self.forward)
            case "shared":
                return partial(
                    send_on_shared,
                    self._owner,
                    forward=self.forward,
                    width=settings.workers,
                )
            case _:
                return self._submit_to_workers

    def take_stats(self) -> DriverStats:
        """Return what was counted since the last call."""
        stats, self.stats = self.stats, DriverStats()
        return stats

    def hurry(self) -> None:
        """Look at the topology soon."""
        self._keeping.hurry()

    def suspect(self, slot: int) -> None:
        """Take note that an arrival for a slot failed: has its shard a new primary?"""
        if self._is_cluster:
            self.members.suspect(slot)
        self._keeping.hurry()

    def _submit_to_workers(self, arrivals: Sequence[Arrival]) -> None:
        """Send on the worker's own connection, or borrow one (open loop)."""
        owner = self._owner
        for arrival in arrivals:
            node = owner[arrival.slot]
            connection = node.by_worker[arrival.worker]
            if connection is None:
                connection = node.borrow()
                if connection is None:
                    self._no_connection(arrival, node)
                    continue
                self.stats.borrowed += 1
            pending = connection.pending
            if len(pending) < self._max_in_flight:
                arrival.sent = mono_now_ns()
                pending.append(arrival)
                connection.write(arrival.command)
            else:
                self._refuse_more(arrival, node)

    def _refuse_more(self, arrival: Arrival, node: WireNode) -> None:
        """Report that a connection has enough outstanding already."""
        self.fail(arrival, Outcome.UNSENT, ErrorClass.INFLIGHT, node.silence())

    def forward(
        self, arrival: Arrival, node: WireNode, *, asking: bool = False
    ) -> None:
        """Send on any connection of a given node, or wait for its first one."""
        connection = node.borrow()
        if connection is None:
            self._no_connection(arrival, node, asking=asking)
            return
        if len(connection.pending) >= self._max_in_flight:
            self._refuse_more(arrival, node)
            return
        if not arrival.sent:
            arrival.sent = mono_now_ns()
        if asking:
            connection.request(resp.ASKING)
        connection.pending.append(arrival)
        connection.write(arrival.command)

    def reroute(self, arrival: Arrival) -> None:
        """Send an arrival that waited for a node that is no longer one of us."""
        self.forward(arrival, self._owner[arrival.slot])

    def _no_connection(
        self, arrival: Arrival, node: WireNode, *, asking: bool = False
    ) -> None:
        if self._forwarded(arrival, node):
            return
        if node.hold(arrival, asking=asking):
            return
        if not node.is_primary:
            self.members.forget_redirect(arrival.slot)
        failure = node.failure
        error = failure.error if failure is not None else ErrorClass.RESET
        self.fail(arrival, Outcome.UNSENT, error, node.evidence())

    def fail(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        evidence: tuple[int, int],
    ) -> None:
        """Report a failure without a reply; one after a redirect is a refusal."""
        if arrival.decided:
            return
        self.suspect(arrival.slot)
        if outcome is Outcome.UNSENT and arrival.redirects:
            outcome, error = Outcome.REFUSED, ErrorClass.MOVED
        self._sink.failed(arrival, outcome, error, done_ns=-1, evidence=evidence)

    def error_reply(
        self, node: WireNode, arrival: Arrival, error: hiredis.ReplyError, done_ns: int
    ) -> None:
        """Follow a redirect, or report the refusal."""
        if arrival.decided:
            self._sink.too_late()
            return
        text = str(error)
        kind = classify_reply(text)
        redirect = None
        if kind is ErrorClass.MOVED or kind is ErrorClass.ASK:
            redirect = parse_redirect(text, node.host)
        if redirect is not None and arrival.redirects < _MAX_REDIRECTS:
            arrival.redirects += 1
            self.stats.count_redirect(kind.label, node.shard)
            _, host, port = redirect
            target = self.members.node(host, port)
            if kind is ErrorClass.MOVED:
                self.members.redirect(arrival.slot, target, done_ns)
                self._keeping.hurry()
            self.forward(arrival, target, asking=kind is ErrorClass.ASK)
            return
        self.suspect(arrival.slot)
        if self._forwarded(arrival, node, kind):
            return
        self._sink.failed(
            arrival,
            Outcome.REFUSED,
            kind,
            done_ns=done_ns,
            evidence=(arrival.sent, done_ns),
        )

    def _forwarded(
        self, arrival: Arrival, node: WireNode, error: ErrorClass | None = None
    ) -> bool:
        """Send a read that a node cannot answer to another one that may, if any."""
        reads = self.members.reads
        if reads is None or arrival.redirects >= _MAX_REDIRECTS:
            return False
        other = reads.after(node, arrival.slot, error)
        if other is None:
            return False
        if error is not None:
            arrival.redirects += 1
        self.stats.count_redirect("fallback", node.shard)
        self.forward(arrival, other)
        return True
