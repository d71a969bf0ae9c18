"""The phases of a change: their names, what they are called in words, whose they are.

Pure. The controller enters some, the topology watch sees some, the load tells the rest.
What belongs to those that are entered is in ``core.events.phases``, how those of the
load are found in ``core.verdict.phases``.
"""

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """The name of a phase, in about the order in which they come."""

    BEGUN = "begun"
    API_CALL = "api_call"
    ACCEPTED = "accepted"
    MODIFYING = "modifying"
    PROMOTED = "promoted"
    ENDPOINT_MOVED = "endpoint_moved"
    PROVIDER_COMPLETED = "provider_completed"
    SETTLED = "settled"
    REPLICAS_RECOVERED = "replicas_recovered"
    FAILED = "failed"
    ENDPOINT_REFUSED = "endpoint_refused"
    ENDPOINT_CUT = "endpoint_cut"
    SLOTS_FIRST_MOVED = "slots_first_moved"
    SLOTS_LAST_MOVED = "slots_last_moved"
    COPY_BEGUN = "copy_begun"
    COPY_DONE = "copy_done"
    CAUGHT_UP = "caught_up"
    WRITES_HELD = "writes_held"
    LANES_MOVED = "lanes_moved"
    WRITES_RESUMED = "writes_resumed"
    FIRST_ERROR = "first_error"
    FIRST_PLANNED_ERROR = "first_planned_error"
    PLANNED_SERVED = "planned_served"
    FIRST_SERVED = "first_served"
    P99_RECOVERED = "p99_recovered"


OF_LOAD = frozenset(
    {
        Phase.FIRST_ERROR,
        Phase.FIRST_PLANNED_ERROR,
        Phase.PLANNED_SERVED,
        Phase.FIRST_SERVED,
        Phase.P99_RECOVERED,
    }
)
"""Those that the load tells, each lane for itself."""

WORDS: Mapping[str, str] = {
    Phase.BEGUN: "begun",
    Phase.API_CALL: "API call",
    Phase.ACCEPTED: "call accepted",
    Phase.MODIFYING: "status is modifying",
    Phase.PROMOTED: "another node is primary",
    Phase.ENDPOINT_MOVED: "the endpoint points to the new primary",
    Phase.PROVIDER_COMPLETED: "the provider tells of its completion",
    Phase.SETTLED: "settled",
    Phase.REPLICAS_RECOVERED: "replicas recovered",
    Phase.FAILED: "failed",
    Phase.ENDPOINT_REFUSED: "the old endpoint refuses new connections",
    Phase.ENDPOINT_CUT: "the old endpoint cut open connections",
    Phase.SLOTS_FIRST_MOVED: "the first slots have moved",
    Phase.SLOTS_LAST_MOVED: "the last slots have moved",
    Phase.COPY_BEGUN: "the full copy has begun",
    Phase.COPY_DONE: "the full copy is done",
    Phase.CAUGHT_UP: "the copy has caught up",
    Phase.WRITES_HELD: "no write is under way any more",
    Phase.LANES_MOVED: "all lanes are at the target",
    Phase.WRITES_RESUMED: "writes go on",
    Phase.FIRST_ERROR: "first error",
    Phase.FIRST_PLANNED_ERROR: "first error by plan",
    Phase.PLANNED_SERVED: "served again after its darkness by plan",
    Phase.FIRST_SERVED: "served again",
    Phase.P99_RECOVERED: "p99 back in its band",
}
"""What each is called in the report."""
