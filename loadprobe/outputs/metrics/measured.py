"""Metrics of what is measured: arrivals, outages, connections, data, budget. Pure."""

from loadprobe.outputs.metrics.bounds import (
    ERROR_BOUNDS,
    OUTAGE_BOUNDS_NS,
    RESPONSE_BOUNDS_NS,
    SHARD_BOUNDS_NS,
)
from loadprobe.outputs.metrics.metric import SCOPE, Metric, counter, gauge, histogram

ARRIVALS: tuple[Metric, ...] = (
    counter(
        "operations_total",
        "1",
        (*SCOPE, "outcome"),
        "Judged arrivals by outcome.",
    ),
    counter(
        "operation_errors_total",
        "1",
        ("lane", "shard", "class"),
        "Arrivals of the load that were not served, by error class.",
    ),
    histogram(
        "response_seconds",
        ("lane", "op"),
        "Response time: reply parsed minus due time (what a user would feel).",
        RESPONSE_BOUNDS_NS,
    ),
    histogram(
        "service_seconds",
        ("lane", "op"),
        "Service time: reply parsed minus time of sending.",
        RESPONSE_BOUNDS_NS,
    ),
    histogram(
        "shard_response_seconds",
        ("shard", "op"),
        "Response time by shard, of all lanes.",
        SHARD_BOUNDS_NS,
    ),
    counter(
        "observed_time_seconds_total",
        "s",
        SCOPE,
        "Time in which arrivals were judged.",
    ),
    counter(
        "dark_time_seconds_total",
        "s",
        SCOPE,
        "Estimated length of all outages, those by plan included; of an open one what "
        "is certain so far. Without what the probe did not see of them.",
    ),
    counter(
        "planned_dark_seconds_total",
        "s",
        SCOPE,
        "The part of dark_time that was by plan: of outages that have ended as the "
        "verdict cuts them, of an open one what is certain and lies in the plan.",
    ),
    counter(
        "unseen_time_seconds_total",
        "s",
        SCOPE,
        "What the probe did not see of outages: it was blind. May have been dark.",
    ),
    counter(
        "grey_time_seconds_total",
        "s",
        SCOPE,
        "Milliseconds in which some arrivals failed and others did not.",
    ),
    counter(
        "blind_time_seconds_total",
        "s",
        SCOPE,
        "Time in which the probe itself was stalled; never downtime.",
    ),
    histogram(
        "millisecond_errors",
        ("shard",),
        "Failed arrivals of each millisecond of a scope that had some.",
        ERROR_BOUNDS,
        unit="1",
    ),
)
"""Judged arrivals, how long they took, and the time they tell of."""

OUTAGES: tuple[Metric, ...] = (
    counter(
        "outages_total",
        "1",
        (*SCOPE, "attribution"),
        "Outages that have ended; attribution is a cause of docs/measuring.md.",
    ),
    counter(
        "outage_seconds_total",
        "s",
        (*SCOPE, "attribution"),
        "Estimated length of the outages that have ended.",
    ),
    histogram(
        "outage_duration_seconds",
        ("lane", "op"),
        "Estimated length of the outages that have ended.",
        OUTAGE_BOUNDS_NS,
    ),
    gauge(
        "outage_active",
        "1",
        SCOPE,
        "1 while an outage of the scope is open, else 0.",
    ),
    gauge(
        "outage_current_seconds",
        "s",
        SCOPE,
        "Length so far of the open outage, 0 if there is none.",
    ),
    gauge(
        "outage_current_planned_seconds",
        "s",
        SCOPE,
        "The part of that which is by plan; equal to it if all of it is.",
    ),
    gauge(
        "outage_last_start_timestamp_seconds",
        "unix s",
        SCOPE,
        "Estimated start of the latest outage of the scope that is not by plan.",
    ),
    gauge(
        "outage_last_end_timestamp_seconds",
        "unix s",
        SCOPE,
        "Estimated end of the latest outage of the scope that has ended and was not by "
        "plan.",
    ),
)
"""Outages that have ended, and those that are open."""

CONNECTIONS: tuple[Metric, ...] = (
    counter(
        "redirects_total",
        "1",
        ("lane", "shard", "kind"),
        "MOVED and ASK that were followed, and reads that another node answered for "
        "their own (fallback), by the shard that was asked.",
    ),
    counter(
        "topology_refreshes_total",
        "1",
        ("lane",),
        "Slot map refreshes of the drivers; each is about all shards.",
    ),
    gauge(
        "connections",
        "1",
        ("lane", "shard"),
        "Usable connections, those to replicas included.",
    ),
    counter(
        "reconnects_total",
        "1",
        ("lane", "shard", "result"),
        "Connection attempts by result: ok, or the error class.",
    ),
    histogram(
        "connect_seconds",
        ("lane",),
        "Time to open a usable connection (TCP, TLS and login).",
        RESPONSE_BOUNDS_NS,
    ),
)
"""Connections of the lanes, and where they were sent by the nodes."""

WRITES_AND_READS: tuple[Metric, ...] = (
    counter(
        "acknowledged_writes_total",
        "1",
        ("lane", "shard"),
        "Writes the server acknowledged.",
    ),
    counter(
        "lost_writes_total",
        "1",
        ("lane", "shard"),
        "Acknowledged writes that were gone when they were read back after the load.",
    ),
    counter(
        "stale_reads_total",
        "1",
        ("lane", "shard"),
        "Reads that returned an older version than one acknowledged before.",
    ),
    counter(
        "replica_stale_reads_total",
        "1",
        ("lane", "shard"),
        "The same of reads that a replica may answer, and of keys it did not know yet.",
    ),
    counter(
        "wrong_values_total",
        "1",
        ("lane", "shard"),
        "Replies that do not match what was written.",
    ),
    counter(
        "absent_reads_total",
        "1",
        ("lane", "shard"),
        "Reads of keys that are not there on purpose (miss_ratio), to which nil is the "
        "right reply.",
    ),
    counter(
        "expired_reads_total",
        "1",
        ("lane", "shard"),
        "Reads of keys that are not there, and whose TTL may have passed: nobody could "
        "renew them for that long.",
    ),
    counter(
        "key_renewals_total",
        "1",
        ("lane",),
        "Keys whose TTL was renewed beside the load, and those written anew after it "
        "had passed.",
    ),
)
"""What became of values that were written, by the ledger."""

ERROR_BUDGET: tuple[Metric, ...] = (
    gauge(
        "error_budget_target_ratio",
        "1",
        (),
        "The availability that is promised: [slo] availability.",
    ),
    gauge(
        "error_budget_allowed_seconds",
        "s",
        ("period",),
        "How long a shard may be dark on a lane: in this calendar month (UTC), and in "
        "the last 28 days.",
    ),
    gauge(
        "error_budget_used_seconds",
        "s",
        ("lane", "shard", "period", "bound"),
        "How long it was in the period so far, not by plan: estimate and bounds.",
    ),
    gauge(
        "error_budget_left_seconds",
        "s",
        ("lane", "shard", "period"),
        "What is left by the estimate; below 0 if more was used.",
    ),
    gauge(
        "error_budget_left_ratio",
        "1",
        ("lane", "shard", "period"),
        "The same as a part of what is allowed.",
    ),
    gauge(
        "error_budget_burn_rate",
        "1",
        ("lane", "shard", "window"),
        "The part of the time observed in the window that was dark, over the part that "
        "may be.",
    ),
    gauge(
        "error_budget_planned_seconds",
        "s",
        ("lane", "shard", "period"),
        "Darkness by plan in the period so far; it uses no budget.",
    ),
    gauge(
        "error_budget_unseen_seconds",
        "s",
        ("lane", "shard", "period"),
        "How much of the period so far was not observed; it uses no budget.",
    ),
)
"""What is promised, and how much of what that allows was used."""
