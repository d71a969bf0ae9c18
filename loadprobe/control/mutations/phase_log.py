"""Records and emits the phases of one step."""

import logging

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.control.provider.replies import Call
from loadprobe.core.events import CallAccepted, Emit, PhaseDetails, PhaseEntered
from loadprobe.core.events.lines import plain
from loadprobe.core.steps import StepRecord, StepState

logger = logging.getLogger(__name__)


class Phases:
    """What was seen of one step, and when.

    Emits ``PhaseEntered``.

    Args:
        step: the step's name.
        operation: the mutation's.
        emit: where events go.

    Attributes:
        step: the step's name.
        shards: node groups it is about; () means all.
        seen_ns: phase -> when it was seen, monotonic ns.
    """

    def __init__(self, step: str, operation: str, emit: Emit) -> None:
        self.shards: tuple[str, ...] = ()
        self.seen_ns: dict[str, int] = {}
        self.step = step
        self._operation = operation
        self._emit = emit

    def enter(self, details: PhaseDetails, *, mono_ns: int | None = None) -> None:
        """Record and emit a phase."""
        at_ns = mono_now_ns() if mono_ns is None else mono_ns
        self.seen_ns[details.phase] = at_ns
        shard = self.shards[0] if len(self.shards) == 1 else None
        event = PhaseEntered(at_ns, self.step, self._operation, shard, details)
        self._emit(event)
        _, kind, fields = plain(event)
        logger.info(kind, extra={f"lp_{key}": value for key, value in fields.items()})

    def accept(self, call: Call, *, attempts: int) -> None:
        """Enter "accepted", as of the reply."""
        offset_ns = call.offset_ns
        accepted = CallAccepted(
            request_id=call.request_id,
            call_ms=(call.after.mono_ns - call.before.mono_ns) / NS_PER_MS,
            attempts=attempts,
            provider_offset_ms=None if offset_ns is None else offset_ns / NS_PER_MS,
        )
        self.enter(accepted, mono_ns=call.after.mono_ns)

    def record(self, state: StepState) -> StepRecord:
        """Return the step as it is known by now."""
        return StepRecord(
            name=self.step,
            operation=self._operation,
            state=state,
            shards=self.shards,
            phases_ns=self.seen_ns,
        )
