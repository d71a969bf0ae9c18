"""Arrivals made by hand, and a sink that keeps how they ended."""

from loadprobe.clock import mono_now_ns
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.load.values import NIL
from loadprobe.core.topology.slots import tag_for_slot
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, Asked

Fate = tuple[Outcome, ErrorClass]

_RECORDER = ScopeRecorder(Scope("lane", "0001", OpKind.READ))  # nothing is recorded


def make_arrival(
    number: int, slot: int, *, worker: int, value: bytes | None = None, ttl_s: int = 0
) -> Arrival:
    """Return a GET, or a SET of a value, for a key in a slot, due now.

    Args:
        number: tells it from others; it is its ``version``.
        slot: of the key.
        worker: whose it is.
        value: what to write; None reads.
        ttl_s: of what is written; 0 is none.
    """
    key = b"{%b}k" % tag_for_slot(slot)
    op, command, expect, written = OpKind.READ, resp.encode_get(key), NIL, NIL
    if value is not None:
        op, expect = OpKind.WRITE, resp.OK_REPLY
        written = resp.encode_bulk(value)
        command = resp.encode_set_head(key, with_ttl=ttl_s > 0) + written
        command += resp.encode_ttl(ttl_s) if ttl_s else b""
    now_ns = mono_now_ns()
    arrival = Arrival(
        now_ns, _RECORDER, worker, op, None, slot, command, expect, number, written
    )
    arrival.asked = Asked(key, value, ttl_s)
    return arrival


class Sink:
    """Keeps how every arrival ended.

    Attributes:
        ends: the reply, or outcome and error class, by the arrival's ``version``.
        evidence: of those that failed.
        late: answers to arrivals that had ended.
    """

    def __init__(self) -> None:
        self.ends: dict[int, object] = {}
        self.evidence: dict[int, tuple[int, int]] = {}
        self.late = 0

    @property
    def failures(self) -> dict[int, Fate]:
        """Return the ends of arrivals that failed."""
        return {n: end for n, end in self.ends.items() if isinstance(end, tuple)}

    def expected(self, arrivals: list[Arrival]) -> None:
        """Take the replies that were expected."""
        for arrival in arrivals:
            self.replied(arrival, resp.parse(arrival.expect), arrival.done)

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take a reply; of an arrival that had failed before it changes nothing."""
        assert 0 < arrival.due <= arrival.sent <= done_ns
        if not arrival.decided:
            arrival.decided = True
            self.ends[arrival.version] = reply

    def too_late(self) -> None:
        """Count an answer to an arrival that had ended."""
        self.late += 1

    def unread_since(self, at_ns: int) -> int:
        """Return the time: this loop is never late."""
        return at_ns

    def looked_since(self, at_ns: int) -> int:
        """Return the time of nothing: this loop does not tell when it looked."""
        return min(0, at_ns)

    def failed(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        *,
        done_ns: int,
        evidence: tuple[int, int],
    ) -> None:
        """Take a failure."""
        assert evidence[0] <= evidence[1]
        assert done_ns == -1 or outcome is Outcome.REFUSED
        arrival.decided = True
        self.ends[arrival.version] = (outcome, error)
        self.evidence[arrival.version] = evidence
