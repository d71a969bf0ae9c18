"""What the provider tells. Pure."""

import msgspec

from loadprobe.core.events.fact import Fact


class ProviderTold(Fact, frozen=True, tag="provider/provider_event"):
    """An event of the provider; this event's time is when we saw it.

    Args:
        date_unix_ns: the provider's own time of it.
        seen_unix_ns: when we saw it, by the clock of this host.
        message: its text.
        source_identifier: id of the group or of a node.
        source_type: "replication-group", "cache-cluster" or another.
        meaning: what the text says, for example "failover_completed".
        node_group: the shard it is about, None if that is not known.
        from_node: id of the former primary, if the text names it.
        to_node: id of the new primary, if the text names it.
        failover_id: the failover it belongs to, None if it belongs to none.
    """

    date_unix_ns: int
    seen_unix_ns: int
    message: str
    source_identifier: str
    source_type: str
    meaning: str = msgspec.field(name="kind")
    node_group: str | None = None
    from_node: str | None = None
    to_node: str | None = None
    failover_id: str | None = None

    @property
    def node(self) -> str | None:
        """Return the node that it is about; None: the group."""
        is_of_node = self.source_type == "cache-cluster"
        return self.source_identifier if is_of_node else None
