"""A real Prometheus scrapes a run: what it can be asked is what was measured."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loadprobe.clock import NS_PER_MS
from loadprobe.config.keys import Http, Lane, Slo, Target
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.core.judging.cells import BlindSpan, FilmChunk
from loadprobe.core.judging.outcome import Outcome
from loadprobe.outputs.folder.reader import RunData, load_run
from loadprobe.outputs.metrics.catalogue import CATALOGUE, MILLISECONDS
from tests.scripted.faults import Fault
from tests.scripted.server import ScriptedCluster
from tests.support.prometheus_server import (
    NEEDS_PROMETHEUS,
    Labels,
    free_port,
    prometheus,
)
from tests.support.run_command import run_command
from tests.support.running import config_of

pytestmark = [pytest.mark.alone, NEEDS_PROMETHEUS]

SHORT_MS = 137
FAULTS = [
    Fault("error", (0,), duration_ns=SHORT_MS * NS_PER_MS),
    Fault("reset", (1,), start_offset_ns=400 * NS_PER_MS, duration_ns=300 * NS_PER_MS),
]
SCRAPES = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: counters
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: milliseconds
    metrics_path: /metrics/ms
    honor_timestamps: true
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
SCOPE = ("lane", "shard", "op")
ONLY_AT_TIMES = {
    "controller_phase",
    "controller_phase_start_timestamp_seconds",
    "folder_damaged_files",
    "folder_removed_total",
    "gc_pause_seconds",
    "maintenance_active",
    "maintenance_update_actions",
    "maintenance_window_start_timestamp_seconds",
    "maintenances_total",
    "mark_timestamp_seconds",
    "cell_blind",
    "cell_planned",
    "provider_event_timestamp_seconds",
    "replica_stale_reads_total",
    "tunnel_breaks_total",
    "tunnel_stalls_total",
    "tunnel_up",
    "unreached_nodes",
    "webhook_notices_sent_total",
    "webhook_requests_failed_total",
    "webhook_notices_dropped_total",
    "webhook_queue_notices",
}


def failing_cells(run: RunData) -> dict[Labels, dict[int, int]]:
    """Return (lane, shard, op, outcome) -> UNIX ms -> arrivals, of the film's cells.

    Of cells with failures only, and without those in blind time.
    """
    shift_ms = run.info.start.clock.to_wall(0) // NS_PER_MS
    blind = [frame for frame in run.film if isinstance(frame, BlindSpan)]
    found: dict[Labels, dict[int, int]] = {}
    for chunk in run.film:
        if not isinstance(chunk, FilmChunk):
            continue
        for cell in chunk.cells():
            start_ns = cell.ms * NS_PER_MS
            if sum(cell.counts) == cell.counts[Outcome.SERVED] or any(
                span.lane == chunk.lane
                and span.start_ns < start_ns + NS_PER_MS
                and start_ns < span.end_ns
                for span in blind
            ):
                continue
            for outcome in Outcome:
                labels = (*chunk.scope[:2], chunk.scope.op.label, outcome.label)
                if cell.counts[outcome]:
                    counts = found.setdefault(labels, {})
                    counts[cell.ms + shift_ms] = cell.counts[outcome]
    return found


def queried_cells(
    rows: list[dict[str, Any]], failing_ms: Mapping[Labels, set[int]]
) -> dict[Labels, dict[int, int]]:
    """Return the same of raw samples; zeros are left out, and what only closes."""
    found: dict[Labels, dict[int, int]] = {}
    for row in rows:
        labels = tuple(row["metric"][label] for label in (*SCOPE, "outcome"))
        for at_s, value in row["values"]:
            at_ms = round(at_s * 1000)
            if float(value) and at_ms in failing_ms[labels[:3]]:
                found.setdefault(labels, {})[at_ms] = int(value)
    return found


async def test_prometheus_knows_what_was_measured(tmp_path: Path) -> None:
    """Counters give the downtime of the verdict, and samples the film, cell by cell."""
    port = free_port()
    async with (
        ScriptedCluster(shards=2) as cluster,
        prometheus(
            tmp_path, SCRAPES.format(port=port), "--web.enable-remote-write-receiver"
        ) as database,
    ):
        config = config_of(
            Target(host=cluster.host, port=cluster.port),
            Lane(name="tcp", workers=20, rate_per_s=1000.0, keys=600),
            http=Http(listen=f"127.0.0.1:{port}"),
            remote_write=RemoteWrite(
                url=f"{database.url}/api/v1/write", extra_labels={"job": "sent"}
            ),
            slo=Slo(availability=0.5),
        )
        async with run_command(config, tmp_path) as command:
            dark = "loadprobe_dark_time_seconds_total"
            await database.until(f"count({dark}) >= 4")
            truth = await cluster.run_script(FAULTS)
            await database.until(
                'sum(loadprobe_outages_total{shard="0002"}) >= 2'
                ' and sum(loadprobe_cell_errors{shard="0002"}) == 0'
            )
            asked = {
                "dark": await database.values(
                    f"max_over_time({dark}[1m]) - min_over_time({dark}[1m])", *SCOPE
                ),
                "outages": await database.values(
                    "sum by (lane, shard, op) (loadprobe_outages_total)", *SCOPE
                ),
            }
            errors = await database.ask('loadprobe_cell_errors{job="milliseconds"}[1m]')
            served = await database.ask('loadprobe_cell_ops{job="milliseconds"}[1m]')
            dropped = await database.values("loadprobe_cells_dropped_total")
            found = await database.values(
                'count by (__name__) ({__name__=~"loadprobe_.+"})', "__name__"
            )
            command.send(signal.SIGTERM)
            code, text = await command.wait()
        assert code == 0, text
        sent = await database.ask('{__name__=~"loadprobe_cell_.+", job="sent"}[5m]')
        run = load_run(command.folder)
    # The downtime of the verdict.
    for scope in run.summary.scopes:
        labels: Labels = (scope.lane, scope.shard, scope.op)
        dark_ms = asked["dark"][labels] * 1000
        assert dark_ms == pytest.approx(
            scope.dark_ms.estimate, abs=max(1, scope.outages)
        )
        assert asked["outages"].get(labels, 0) == scope.outages
    # The short outage, which a scrape can miss but a counter cannot.
    true_ms = (truth[0].end_ns - truth[0].start_ns) / NS_PER_MS
    bars = run.summary.downtime_ms.shards["0001"]
    if not run.summary.observer.blind_ms:
        assert bars.lower <= true_ms <= bars.upper
    assert (
        max(
            seconds * 1000
            for labels, seconds in asked["dark"].items()
            if "0001" in labels
        )
        >= bars.lower - 2
    )
    # The film.
    film = failing_cells(run)
    failing_ms: dict[Labels, set[int]] = {}
    for labels, counts in film.items():
        failing_ms.setdefault(labels[:3], set()).update(counts)
    assert queried_cells(errors + served, failing_ms) == film
    sent = [row for row in sent if "outcome" in row["metric"]]
    assert queried_cells(sent, failing_ms) == film
    assert sum(map(len, film.values())) > 100
    assert dropped == {(): 0}
    # The catalogue, but for what only a controller or a library does.
    missing = {
        metric.name
        for metric in (*CATALOGUE, *MILLISECONDS)
        if not {(metric.full_name,), (f"{metric.full_name}_count",)} & found.keys()
    }
    assert missing <= ONLY_AT_TIMES
