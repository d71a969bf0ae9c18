"""The metric catalogue: the one table from which metrics and their page are made.

Pure. A metric that is not in ``CATALOGUE`` cannot be exported, and every label is of
a bounded kind: never a key, a worker, an address of a client or the text of an error.
Times are seconds and counters of time move in steps of one millisecond, so that the
difference of two scrapes is exact.
"""

from loadprobe.core.judging.ms_samples import MsKind
from loadprobe.outputs.metrics.bounds import (
    ERROR_BOUNDS,
    HEALTH_BOUNDS_NS,
    OUTAGE_BOUNDS_NS,
    RESPONSE_BOUNDS_NS,
    SHARD_BOUNDS_NS,
)
from loadprobe.outputs.metrics.metric import Metric, MetricKind

_SCOPE = ("lane", "shard", "op")


def _counter(name: str, unit: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name, MetricKind.COUNTER, unit, labels, text)


def _gauge(name: str, unit: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name, MetricKind.GAUGE, unit, labels, text)


def _histogram(
    name: str,
    labels: tuple[str, ...],
    text: str,
    bounds: tuple[int, ...],
    *,
    unit: str = "s",
) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, unit, labels, text, bounds)


CATALOGUE: tuple[Metric, ...] = (
    _gauge(
        "config_last_reload_successful",
        "1",
        (),
        "Whether the configuration that was read last is in force: 1, or 0.",
    ),
    _gauge(
        "config_last_reload_success_timestamp_seconds",
        "s",
        (),
        "When the configuration was last taken over, UNIX time.",
    ),
    _counter(
        "operations_total",
        "1",
        (*_SCOPE, "outcome"),
        "Judged arrivals by outcome.",
    ),
    _counter(
        "operation_errors_total",
        "1",
        ("lane", "shard", "class"),
        "Arrivals of the load that were not served, by error class.",
    ),
    _histogram(
        "response_seconds",
        ("lane", "op"),
        "Response time: reply parsed minus due time (what a user would feel).",
        RESPONSE_BOUNDS_NS,
    ),
    _histogram(
        "service_seconds",
        ("lane", "op"),
        "Service time: reply parsed minus time of sending.",
        RESPONSE_BOUNDS_NS,
    ),
    _histogram(
        "shard_response_seconds",
        ("shard", "op"),
        "Response time by shard, of all lanes.",
        SHARD_BOUNDS_NS,
    ),
    _counter(
        "observed_time_seconds_total",
        "s",
        _SCOPE,
        "Time in which arrivals were judged.",
    ),
    _counter(
        "dark_time_seconds_total",
        "s",
        _SCOPE,
        "Estimated length of all outages, those by plan included; of an open one what "
        "is certain so far. Without what the probe did not see of them.",
    ),
    _counter(
        "planned_dark_seconds_total",
        "s",
        _SCOPE,
        "The part of dark_time that was by plan: of outages that have ended as the "
        "verdict cuts them, of an open one what is certain and lies in the plan.",
    ),
    _counter(
        "unseen_time_seconds_total",
        "s",
        _SCOPE,
        "What the probe did not see of outages: it was blind. May have been dark.",
    ),
    _counter(
        "grey_time_seconds_total",
        "s",
        _SCOPE,
        "Milliseconds in which some arrivals failed and others did not.",
    ),
    _counter(
        "blind_time_seconds_total",
        "s",
        _SCOPE,
        "Time in which the probe itself was stalled; never downtime.",
    ),
    _histogram(
        "millisecond_errors",
        ("shard",),
        "Failed arrivals of each millisecond of a scope that had some.",
        ERROR_BOUNDS,
        unit="1",
    ),
    _counter(
        "cells_dropped_total",
        "1",
        (),
        "Samples that made room on /metrics/ms before it was read.",
    ),
    _counter(
        "remote_write_samples_sent_total",
        "1",
        (),
        "Samples that the receiver of remote write took.",
    ),
    _counter(
        "remote_write_samples_dropped_total",
        "1",
        ("reason",),
        "Samples that it did not take, by reason; they are not sent any more.",
    ),
    _counter(
        "remote_write_retries_total",
        "1",
        (),
        "Requests that were sent again, whole or in halves.",
    ),
    _gauge(
        "remote_write_queue_samples", "1", (), "Samples that wait to be sent, or are."
    ),
    _gauge(
        "remote_write_lag_seconds",
        "s",
        (),
        "How far the oldest sample that waits is behind what is judged; 0 without one.",
    ),
    _counter(
        "webhook_notices_sent_total",
        "1",
        ("webhook",),
        "Notices of incidents that a receiver took.",
    ),
    _counter(
        "webhook_requests_failed_total",
        "1",
        ("webhook",),
        "Requests that it did not answer as it should; most are made again.",
    ),
    _counter(
        "webhook_notices_dropped_total",
        "1",
        ("webhook", "reason"),
        "Notices that are not sent any more, by reason.",
    ),
    _gauge(
        "webhook_queue_notices", "1", ("webhook",), "Notices that wait, or are sent."
    ),
    _counter(
        "outages_total",
        "1",
        (*_SCOPE, "attribution"),
        "Outages that have ended; attribution is a cause of docs/measuring.md.",
    ),
    _counter(
        "outage_seconds_total",
        "s",
        (*_SCOPE, "attribution"),
        "Estimated length of the outages that have ended.",
    ),
    _histogram(
        "outage_duration_seconds",
        ("lane", "op"),
        "Estimated length of the outages that have ended.",
        OUTAGE_BOUNDS_NS,
    ),
    _gauge(
        "outage_active",
        "1",
        _SCOPE,
        "1 while an outage of the scope is open, else 0.",
    ),
    _gauge(
        "outage_current_seconds",
        "s",
        _SCOPE,
        "Length so far of the open outage, 0 if there is none.",
    ),
    _gauge(
        "outage_current_planned_seconds",
        "s",
        _SCOPE,
        "The part of that which is by plan; equal to it if all of it is.",
    ),
    _gauge(
        "outage_last_start_timestamp_seconds",
        "unix s",
        _SCOPE,
        "Estimated start of the latest outage of the scope that is not by plan.",
    ),
    _gauge(
        "outage_last_end_timestamp_seconds",
        "unix s",
        _SCOPE,
        "Estimated end of the latest outage of the scope that has ended and was not by "
        "plan.",
    ),
    _counter(
        "redirects_total",
        "1",
        ("lane", "shard", "kind"),
        "MOVED and ASK that were followed, and reads that another node answered for "
        "their own (fallback), by the shard that was asked.",
    ),
    _counter(
        "topology_refreshes_total",
        "1",
        ("lane",),
        "Slot map refreshes of the drivers; each is about all shards.",
    ),
    _gauge(
        "connections",
        "1",
        ("lane", "shard"),
        "Usable connections, those to replicas included.",
    ),
    _counter(
        "reconnects_total",
        "1",
        ("lane", "shard", "result"),
        "Connection attempts by result: ok, or the error class.",
    ),
    _histogram(
        "connect_seconds",
        ("lane",),
        "Time to open a usable connection (TCP, TLS and login).",
        RESPONSE_BOUNDS_NS,
    ),
    _gauge(
        "lane_rate_per_second",
        "1",
        ("lane",),
        "Arrivals per second for which the schedule of an open loop asks now.",
    ),
    _gauge(
        "load_share",
        "1",
        (),
        "Share of its rates that the load has; below 1 it spares others.",
    ),
    _histogram(
        "loop_lag_seconds",
        ("process",),
        "How late the event loop of a probe process woke up.",
        HEALTH_BOUNDS_NS,
    ),
    _histogram(
        "schedule_lateness_seconds",
        ("lane",),
        "Time of sending minus due time.",
        HEALTH_BOUNDS_NS,
    ),
    _histogram(
        "gc_pause_seconds",
        ("process",),
        "Length of the garbage collections of a probe process.",
        HEALTH_BOUNDS_NS,
    ),
    _counter(
        "acknowledged_writes_total",
        "1",
        ("lane", "shard"),
        "Writes the server acknowledged.",
    ),
    _counter(
        "lost_writes_total",
        "1",
        ("lane", "shard"),
        "Acknowledged writes that were gone when they were read back after the load.",
    ),
    _counter(
        "stale_reads_total",
        "1",
        ("lane", "shard"),
        "Reads that returned an older version than one acknowledged before.",
    ),
    _counter(
        "replica_stale_reads_total",
        "1",
        ("lane", "shard"),
        "The same of reads that a replica may answer, and of keys it did not know yet.",
    ),
    _counter(
        "wrong_values_total",
        "1",
        ("lane", "shard"),
        "Replies that do not match what was written.",
    ),
    _counter(
        "absent_reads_total",
        "1",
        ("lane", "shard"),
        "Reads of keys that are not there on purpose (miss_ratio), to which nil is the "
        "right reply.",
    ),
    _counter(
        "expired_reads_total",
        "1",
        ("lane", "shard"),
        "Reads of keys that are not there, and whose TTL may have passed: nobody could "
        "renew them for that long.",
    ),
    _counter(
        "key_renewals_total",
        "1",
        ("lane",),
        "Keys whose TTL was renewed beside the load, and those written anew after it "
        "had passed.",
    ),
    _gauge(
        "controller_phase",
        "1",
        ("operation", "phase"),
        "1 for the latest phase of an operation, 0 for the phases before it.",
    ),
    _gauge(
        "controller_phase_start_timestamp_seconds",
        "unix s",
        ("operation", "phase"),
        "When a phase of an operation began.",
    ),
    _gauge(
        "provider_event_timestamp_seconds",
        "unix s",
        ("kind",),
        "The provider's own timestamp of its latest event of a kind.",
    ),
    _gauge(
        "mark_timestamp_seconds", "unix s", (), "When the latest mark was made by HTTP."
    ),
    _gauge("cluster_shards", "1", (), "Shards of the target."),
    _gauge("cluster_nodes", "1", (), "Nodes of the target, replicas included."),
    _gauge(
        "unreached_nodes",
        "1",
        (),
        "Nodes that are announced and cannot be reached: address_map, or a rule of the "
        "NAT, is missing or stale.",
    ),
    _gauge("tunnel_up", "1", (), "1 while the tunnel is open, else 0."),
    _counter("tunnel_breaks_total", "1", (), "How often the tunnel broke."),
    _counter(
        "tunnel_stalls_total",
        "1",
        (),
        "How often the other end of the tunnel did not answer for a while.",
    ),
    _gauge("cluster_slots", "1", ("shard",), "Hash slots of a shard."),
    _counter(
        "role_changes_total",
        "1",
        ("shard", "kind"),
        "Nodes that were promoted, joined or left a shard.",
    ),
    _gauge(
        "node_role",
        "1",
        ("role", "shard", "node"),
        "1 for the present role of a node.",
    ),
    _gauge(
        "tasks",
        "1",
        ("process",),
        "Tasks of the event loop of a process, the supervisor or a probe.",
    ),
    _gauge(
        "held_items",
        "1",
        ("what",),
        "What the supervisor holds of things that come again and again.",
    ),
    _gauge(
        "folder_bytes",
        "1",
        ("part",),
        "Size of the run folder: the segment that is written, those before it, and "
        "the folders of incidents.",
    ),
    _gauge(
        "folder_disk_used_ratio",
        "1",
        (),
        "How full the disk of the run folder is; 1 if nothing more can be written.",
    ),
    _gauge(
        "folder_waiting_bytes",
        "1",
        ("file",),
        "What could not be written yet and waits in memory.",
    ),
    _counter(
        "folder_lost_chunks_total",
        "1",
        ("file",),
        "Lines, or frames of the film, that are lost: there was no more room in memory "
        "either.",
    ),
    _gauge(
        "folder_damaged_files",
        "1",
        (),
        "Files of the run folder that were found damaged and set aside.",
    ),
    _counter(
        "folder_removed_total",
        "1",
        ("part",),
        "Segments, and folders of incidents, that were removed as too old or too much.",
    ),
    _gauge(
        "error_budget_target_ratio",
        "1",
        (),
        "The availability that is promised: [slo] availability.",
    ),
    _gauge(
        "error_budget_allowed_seconds",
        "s",
        ("period",),
        "How long a shard may be dark on a lane: in this calendar month (UTC), and in "
        "the last 28 days.",
    ),
    _gauge(
        "error_budget_used_seconds",
        "s",
        ("lane", "shard", "period", "bound"),
        "How long it was in the period so far, not by plan: estimate and bounds.",
    ),
    _gauge(
        "error_budget_left_seconds",
        "s",
        ("lane", "shard", "period"),
        "What is left by the estimate; below 0 if more was used.",
    ),
    _gauge(
        "error_budget_left_ratio",
        "1",
        ("lane", "shard", "period"),
        "The same as a part of what is allowed.",
    ),
    _gauge(
        "error_budget_burn_rate",
        "1",
        ("lane", "shard", "window"),
        "The part of the time observed in the window that was dark, over the part that "
        "may be.",
    ),
    _gauge(
        "error_budget_planned_seconds",
        "s",
        ("lane", "shard", "period"),
        "Darkness by plan in the period so far; it uses no budget.",
    ),
    _gauge(
        "error_budget_unseen_seconds",
        "s",
        ("lane", "shard", "period"),
        "How much of the period so far was not observed; it uses no budget.",
    ),
    _gauge(
        "maintenance_window_start_timestamp_seconds",
        "unix s",
        (),
        "When the weekly maintenance window of the group begins next.",
    ),
    _gauge(
        "maintenance_update_actions",
        "1",
        ("status",),
        "Service updates of the group, by the status of their update actions.",
    ),
    _gauge(
        "maintenance_active",
        "1",
        (),
        "1 while something is being done to the group, not by a scenario of the run.",
    ),
    _counter("maintenances_total", "1", (), "Maintenances that are over."),
    _gauge("build_info", "1", ("version",), "1; the version of loadprobe."),
    _gauge(
        "run_info",
        "1",
        ("run", "scenario", "shards", "engine"),
        "1; what is being run.",
    ),
)

MILLISECONDS: tuple[Metric, ...] = (
    _gauge(
        MsKind.ERRORS,
        "1",
        (*_SCOPE, "outcome"),
        "Failed arrivals due in one millisecond, by outcome.",
    ),
    _gauge(
        MsKind.OPS,
        "1",
        (*_SCOPE, "outcome"),
        "Served arrivals due in one of these milliseconds.",
    ),
    _gauge(
        MsKind.BLIND,
        "1",
        ("lane",),
        "Milliseconds, from this one on, in which the probe itself was stalled.",
    ),
    _gauge(
        MsKind.PLANNED,
        "1",
        ("lane", "shard"),
        "Milliseconds, from this one on, in which darkness was announced.",
    ),
)
"""What /metrics/ms serves, and only that page."""

BY_NAME = {metric.name: metric for metric in CATALOGUE}
