"""Metrics of the run itself: its probe, its folder, and whom it tells. Pure."""

from loadprobe.outputs.metrics.bounds import HEALTH_BOUNDS_NS
from loadprobe.outputs.metrics.metric import Metric, counter, gauge, histogram

CONFIGURATION: tuple[Metric, ...] = (
    gauge(
        "config_last_reload_successful",
        "1",
        (),
        "Whether the configuration that was read last is in force: 1, or 0.",
    ),
    gauge(
        "config_last_reload_success_timestamp_seconds",
        "s",
        (),
        "When the configuration was last taken over, UNIX time.",
    ),
)
"""The configuration that is in force."""

PASSING_ON: tuple[Metric, ...] = (
    counter(
        "cells_dropped_total",
        "1",
        (),
        "Samples that made room on /metrics/ms before it was read.",
    ),
    counter(
        "remote_write_samples_sent_total",
        "1",
        (),
        "Samples that the receiver of remote write took.",
    ),
    counter(
        "remote_write_samples_dropped_total",
        "1",
        ("reason",),
        "Samples that it did not take, by reason; they are not sent any more.",
    ),
    counter(
        "remote_write_retries_total",
        "1",
        (),
        "Requests that were sent again, whole or in halves.",
    ),
    gauge(
        "remote_write_queue_samples", "1", (), "Samples that wait to be sent, or are."
    ),
    gauge(
        "remote_write_lag_seconds",
        "s",
        (),
        "How far the oldest sample that waits is behind what is judged; 0 without one.",
    ),
    counter(
        "webhook_notices_sent_total",
        "1",
        ("webhook",),
        "Notices of incidents that a receiver took.",
    ),
    counter(
        "webhook_requests_failed_total",
        "1",
        ("webhook",),
        "Requests that it did not answer as it should; most are made again.",
    ),
    counter(
        "webhook_notices_dropped_total",
        "1",
        ("webhook", "reason"),
        "Notices that are not sent any more, by reason.",
    ),
    gauge(
        "webhook_queue_notices", "1", ("webhook",), "Notices that wait, or are sent."
    ),
)
"""What is passed on to scrapers, by remote write and to webhooks."""

PROBE: tuple[Metric, ...] = (
    gauge(
        "lane_rate_per_second",
        "1",
        ("lane",),
        "Arrivals per second for which the schedule of an open loop asks now.",
    ),
    gauge(
        "load_share",
        "1",
        (),
        "Share of its rates that the load has; below 1 it spares others.",
    ),
    histogram(
        "loop_lag_seconds",
        ("process",),
        "How late the event loop of a probe process woke up.",
        HEALTH_BOUNDS_NS,
    ),
    histogram(
        "schedule_lateness_seconds",
        ("lane",),
        "Time of sending minus due time.",
        HEALTH_BOUNDS_NS,
    ),
    histogram(
        "gc_pause_seconds",
        ("process",),
        "Length of the garbage collections of a probe process.",
        HEALTH_BOUNDS_NS,
    ),
)
"""What the load is meant to be, and how well the probe keeps to it."""

UPKEEP: tuple[Metric, ...] = (
    gauge(
        "tasks",
        "1",
        ("process",),
        "Tasks of the event loop of a process, the supervisor or a probe.",
    ),
    gauge(
        "held_items",
        "1",
        ("what",),
        "What the supervisor holds of things that come again and again.",
    ),
    gauge(
        "folder_bytes",
        "1",
        ("part",),
        "Size of the run folder: the segment that is written, those before it, and "
        "the folders of incidents.",
    ),
    gauge(
        "folder_disk_used_ratio",
        "1",
        (),
        "How full the disk of the run folder is; 1 if nothing more can be written.",
    ),
    gauge(
        "folder_waiting_bytes",
        "1",
        ("file",),
        "What could not be written yet and waits in memory.",
    ),
    counter(
        "folder_lost_chunks_total",
        "1",
        ("file",),
        "Lines, or frames of the film, that are lost: there was no more room in memory "
        "either.",
    ),
    gauge(
        "folder_damaged_files",
        "1",
        (),
        "Files of the run folder that were found damaged and set aside.",
    ),
    counter(
        "folder_removed_total",
        "1",
        ("part",),
        "Segments, and folders of incidents, that were removed as too old or too much.",
    ),
)
"""What a run that lasts holds in memory and on disk."""

WHAT_RUNS: tuple[Metric, ...] = (
    gauge("build_info", "1", ("version",), "1; the version of loadprobe."),
    gauge(
        "run_info",
        "1",
        ("run", "scenario", "shards", "engine"),
        "1; what is being run.",
    ),
)
"""The version, and the run."""
