"""Events as tests need them: the phases of a mutation, what a provider tells."""

from loadprobe.core.events import (
    CallAccepted,
    CallBegun,
    CompletionTold,
    EndpointFollowed,
    MutationFailed,
    MutationSettled,
    PhaseDetails,
    PhaseEntered,
    PrimaryPromoted,
    ProviderTold,
    ReplicasRecovered,
    StatusChanging,
)

DETAILS: dict[str, PhaseDetails] = {
    details.phase: details
    for details in (
        CallBegun("TestFailover(NodeGroupId=0002)"),
        CallAccepted("request-1", 150.0, 1, None),
        StatusChanging("modifying"),
        PrimaryPromoted("127.0.0.1:7002", "127.0.0.1:7005"),
        EndpointFollowed("10.0.0.1", "10.0.0.2", 50.0),
        CompletionTold(1_767_323_045_000_000_000, "completed", None),
        MutationSettled(),
        ReplicasRecovered(),
        MutationFailed("it did not settle"),
    )
}
"""Something that each phase may tell."""


def phase(
    at_ns: int,
    name: str,
    *,
    step: str = "failover",
    operation: str = "failover",
    shard: str | None = "0002",
) -> PhaseEntered:
    """Return that a phase is entered."""
    return PhaseEntered(at_ns, step, operation, shard, DETAILS[name])


def provider_told(
    at_ns: int,
    message: str,
    *,
    date_unix_ns: int,
    seen_unix_ns: int,
    node: str | None = None,
    meaning: str = "other",
    shard: str | None = None,
) -> ProviderTold:
    """Return an event of a provider, about a node or the group."""
    return ProviderTold(
        at_ns,
        date_unix_ns=date_unix_ns,
        seen_unix_ns=seen_unix_ns,
        message=message,
        source_identifier=node or "demo",
        source_type="replication-group" if node is None else "cache-cluster",
        meaning=meaning,
        node_group=shard,
    )
