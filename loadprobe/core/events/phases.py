"""The phases of a mutation, and what is known of each. Pure.

In a line of the journal the details of a phase stand beside its name.
"""

import msgspec

from loadprobe.core.events.fact import Fact
from loadprobe.core.phase_names import Phase


class _Details(msgspec.Struct, frozen=True, tag_field="phase"):
    """What belongs to a phase; its tag: "phase", or "phase/x" if that is two types."""

    @property
    def phase(self) -> Phase:
        """Return which phase it is."""
        return Phase(str(self.__struct_config__.tag).partition("/")[0])


class CallBegun(_Details, frozen=True, tag=Phase.API_CALL.value):
    """The API is called.

    Args:
        call: the call with its arguments; secrets are masked.
    """

    call: str


class CallAccepted(_Details, frozen=True, tag=Phase.ACCEPTED.value):
    """The API answered that it will be done.

    Args:
        request_id: the provider's id of the call, "" if it gave none.
        call_ms: from the call to its reply.
        attempts: how often it was sent.
        provider_offset_ms: the provider's clock minus ours, None if it did not tell.
    """

    request_id: str
    call_ms: float
    attempts: int
    provider_offset_ms: float | None


class CallEvident(_Details, frozen=True, tag=f"{Phase.ACCEPTED}/evident"):
    """The API did not answer, but the call shows its effect: it was accepted, too.

    Args:
        evidence: where the effect shows: "event", "status", "topology" and so on.
        reason: what came instead of an answer.
    """

    evidence: str
    reason: str


class StatusChanging(_Details, frozen=True, tag=Phase.MODIFYING.value):
    """The group is not available any more.

    Args:
        status: what it is instead.
    """

    status: str


class PrimaryPromoted(_Details, frozen=True, tag=Phase.PROMOTED.value):
    """Another node is primary.

    Args:
        from_node: address of the former one.
        to_node: address of the new one.
    """

    from_node: str
    to_node: str


class EndpointFollowed(_Details, frozen=True, tag=Phase.ENDPOINT_MOVED.value):
    """The name of the endpoint points elsewhere.

    Args:
        from_addresses: where it pointed, separated by commas.
        to_addresses: where it points, separated by commas.
        gap_ms: since when it was not looked at.
    """

    from_addresses: str
    to_addresses: str
    gap_ms: float


class CompletionTold(_Details, frozen=True, tag=Phase.PROVIDER_COMPLETED.value):
    """The provider tells that it is done.

    Args:
        date_unix_ns: the provider's own time of it.
        message: the text of its event.
        to_cluster: id of the new primary, None if the text does not name it.
    """

    date_unix_ns: int
    message: str
    to_cluster: str | None


class MutationSettled(_Details, frozen=True, tag=Phase.SETTLED.value):
    """It is done."""


class ReplicasRecovered(_Details, frozen=True, tag=Phase.REPLICAS_RECOVERED.value):
    """All replicas are back."""


class MutationFailed(_Details, frozen=True, tag=Phase.FAILED.value):
    """It is given up.

    Args:
        reason: why.
    """

    reason: str


class FullCopyBegun(_Details, frozen=True, tag=Phase.COPY_BEGUN.value):
    """A tool has begun to copy all that the source holds.

    Args:
        tool: which.
    """

    tool: str


class FullCopyDone(_Details, frozen=True, tag=Phase.COPY_DONE.value):
    """A tool has copied all that the source held."""


class CopyCaughtUp(_Details, frozen=True, tag=Phase.CAUGHT_UP.value):
    """What the source took since then has been copied, too.

    Args:
        lag_bytes: what was still on its way, None if the tool does not tell.
    """

    lag_bytes: int | None


class WritesStopped(_Details, frozen=True, tag=Phase.WRITES_HELD.value):
    """Lanes read only, and every write that was under way has ended."""


class LanesMoved(_Details, frozen=True, tag=Phase.LANES_MOVED.value):
    """All lanes that probe are at another cluster.

    Args:
        endpoint: where that is.
    """

    endpoint: str


class WritesResumed(_Details, frozen=True, tag=Phase.WRITES_RESUMED.value):
    """Lanes write again."""


PhaseDetails = (
    CallBegun
    | CallAccepted
    | CallEvident
    | StatusChanging
    | PrimaryPromoted
    | EndpointFollowed
    | CompletionTold
    | MutationSettled
    | ReplicasRecovered
    | MutationFailed
    | FullCopyBegun
    | FullCopyDone
    | CopyCaughtUp
    | WritesStopped
    | LanesMoved
    | WritesResumed
)


class PhaseEntered(Fact, frozen=True, tag="controller/phase"):
    """A mutation entered a phase.

    Args:
        step: name of the step that it is.
        operation: what it does.
        shard: the shard it is about; None unless it is exactly one.
        details: the phase, and what is known of it.
    """

    step: str
    operation: str
    shard: str | None
    details: PhaseDetails
