"""Metrics of the target: its nodes, and what is done to it and by whom. Pure."""

from loadprobe.outputs.metrics.metric import Metric, counter, gauge

CHANGES: tuple[Metric, ...] = (
    gauge(
        "controller_phase",
        "1",
        ("operation", "phase"),
        "1 for the latest phase of an operation, 0 for the phases before it.",
    ),
    gauge(
        "controller_phase_start_timestamp_seconds",
        "unix s",
        ("operation", "phase"),
        "When a phase of an operation began.",
    ),
    gauge(
        "provider_event_timestamp_seconds",
        "unix s",
        ("kind",),
        "The provider's own timestamp of its latest event of a kind.",
    ),
    gauge(
        "mark_timestamp_seconds", "unix s", (), "When the latest mark was made by HTTP."
    ),
)
"""What was done: steps of the controller, events of the provider, marks."""

NODES: tuple[Metric, ...] = (
    gauge("cluster_shards", "1", (), "Shards of the target."),
    gauge("cluster_nodes", "1", (), "Nodes of the target, replicas included."),
    gauge(
        "unreached_nodes",
        "1",
        (),
        "Nodes that are announced and cannot be reached: address_map, or a rule of the "
        "NAT, is missing or stale.",
    ),
    gauge("tunnel_up", "1", (), "1 while the tunnel is open, else 0."),
    counter("tunnel_breaks_total", "1", (), "How often the tunnel broke."),
    counter(
        "tunnel_stalls_total",
        "1",
        (),
        "How often the other end of the tunnel did not answer for a while.",
    ),
    gauge("cluster_slots", "1", ("shard",), "Hash slots of a shard."),
    counter(
        "role_changes_total",
        "1",
        ("shard", "kind"),
        "Nodes that were promoted, joined or left a shard.",
    ),
    gauge(
        "node_role",
        "1",
        ("role", "shard", "node"),
        "1 for the present role of a node.",
    ),
)
"""Shards and nodes, their roles, and whether they can be reached."""

MAINTENANCE: tuple[Metric, ...] = (
    gauge(
        "maintenance_window_start_timestamp_seconds",
        "unix s",
        (),
        "When the weekly maintenance window of the group begins next.",
    ),
    gauge(
        "maintenance_update_actions",
        "1",
        ("status",),
        "Service updates of the group, by the status of their update actions.",
    ),
    gauge(
        "maintenance_active",
        "1",
        (),
        "1 while something is being done to the group, not by a scenario of the run.",
    ),
    counter("maintenances_total", "1", (), "Maintenances that are over."),
)
"""What the provider plans for the group, and does to it."""
