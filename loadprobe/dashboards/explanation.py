"""The rows of the maintenance window that explain what its verdict says."""

from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.dashboards.board import Board
from loadprobe.dashboards.panels import (
    BLUE,
    WARN_ABOVE_ZERO,
    Column,
    cells,
    instant,
    lines,
    number,
    ranged,
    rows,
    states,
)
from loadprobe.dashboards.promql import by, chosen
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL

_RUN = chosen("job", CLUSTER_LABEL, "lane", "shard")
_RANGE = "$__range"
_SERVED = f'="{Outcome.SERVED.label}"'


def add_load(board: Board) -> None:
    """Add what was offered and what was not served."""
    board.row("Load")
    errors = by("sum", _RUN.burst("operation_errors_total"), "class")
    board.add(
        lines(
            "Arrivals not served, by class",
            ranged(f"{errors} > 0", "{{class}}"),
            about="How many a step, and why. A bar is a step; nothing drawn is none.",
            unit="short",
            stacked=True,
        ),
        width=12,
        height=8,
    )
    total = _RUN.rate("operations_total")
    served = _RUN.rate("operations_total", outcome=_SERVED)
    board.add(
        lines(
            "Offered and served",
            ranged(by("sum", total, "lane"), "{{lane}} offered"),
            ranged(by("sum", served, "lane"), "{{lane}} served"),
            about="Arrivals that were due, and those that were served in time. Open "
            "loop: what is offered does not fall when the cluster is down.",
            unit="ops",
        ),
        width=12,
        height=8,
    )


def add_response(board: Board) -> None:
    """Add response times."""
    load = {"op": f'!~"{OpKind.CONNECT.label}"'}
    board.row("Response time: from when it was due, as a user would feel it")
    buckets = by("sum", _RUN.step("response_seconds", part="bucket", **load), "le")
    board.add(
        cells(
            "Responses of a step",
            ranged(buckets),
            about="How many responses took how long, on the lanes chosen.",
            unit="s",
        ),
        width=12,
        height=9,
    )
    board.add(
        lines(
            "Quantiles",
            *(
                ranged(
                    _RUN.quantile(q, "response_seconds", "lane", **load),
                    f"{{{{lane}}}} {text}",
                )
                for q, text in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
            ),
            about="From buckets: off by 2 % on average and by 10 % at worst.",
            unit="s",
            logarithmic=True,
        ),
        width=12,
        height=9,
    )
    board.add(
        lines(
            "p99 of each shard",
            ranged(
                _RUN.quantile(0.99, "shard_response_seconds", "shard", **load),
                "{{shard}}",
            ),
            about="Of all lanes together, from wide buckets (1, 2, 5): for comparing "
            "the shards, less for the figure.",
            unit="s",
            logarithmic=True,
        ),
        width=12,
        height=7,
    )
    board.add(
        lines(
            "New connections, p99",
            ranged(_RUN.quantile(0.99, "connect_seconds", "lane"), "{{lane}}"),
            about="Until usable: TCP, TLS and login.",
            unit="s",
            logarithmic=True,
        ),
        width=12,
        height=7,
    )


def add_changes(board: Board) -> None:
    """Add what was done to the cluster."""
    source = chosen("job", CLUSTER_LABEL)
    phase = source.last("controller_phase_start_timestamp_seconds", _RANGE)
    event = source.last("provider_event_timestamp_seconds", _RANGE)
    board.row("What was done")
    board.add(
        rows(
            "Phases of operations",
            ("operation", "phase"),
            (
                Column(
                    "At",
                    by("max", f"{phase} * 1000", "operation", "phase"),
                    unit="dateTimeAsIso",
                ),
            ),
            about="The latest of each kind, by the clock of the probe.",
            sort="At",
            descending=False,
        ),
        width=12,
        height=9,
    )
    board.add(
        rows(
            "Events of the provider",
            ("kind",),
            (Column("At", by("max", f"{event} * 1000", "kind"), unit="dateTimeAsIso"),),
            about="The latest of each kind, by the clock of the provider.",
            sort="At",
            descending=False,
        ),
        width=12,
        height=9,
    )


def add_topology(board: Board) -> None:
    """Add shards, nodes and connections."""
    board.row("Topology")
    roles = by("max", _RUN("node_role"), "role", "shard", "node")
    primary = by("max", _RUN("node_role", role='="primary"'), "shard", "node")
    board.add(
        states(
            "Nodes",
            ranged(
                f"{primary} or 0 * {by('max', roles, 'shard', 'node')}",
                "{{shard}} {{node}}",
            ),
            about="The role of each node as last seen.",
            texts={0: ("replica", BLUE), 1: ("primary", "dark-blue")},
        ),
        width=12,
        height=8,
    )
    board.add(
        lines(
            "Slots",
            ranged(by("max", _RUN("cluster_slots"), "shard"), "{{shard}}"),
            about="Hash slots of each shard.",
            unit="none",
        ),
        width=6,
        height=8,
    )
    board.add(
        lines(
            "Shards and nodes",
            ranged(f"max({_RUN('cluster_shards')})", "shards"),
            ranged(f"max({_RUN('cluster_nodes')})", "nodes"),
            about="Replicas are nodes, too.",
            unit="none",
        ),
        width=6,
        height=8,
    )
    board.add(
        lines(
            "Connections",
            ranged(
                by("sum", _RUN("connections"), "lane", "shard"), "{{lane}} {{shard}}"
            ),
            about="Usable ones.",
            unit="short",
        ),
        width=12,
        height=7,
    )
    board.add(
        lines(
            "Attempts to connect, redirects, role changes",
            ranged(
                by("sum", _RUN.burst("reconnects_total"), "result") + " > 0",
                "connect: {{result}}",
            ),
            ranged(
                by("sum", _RUN.burst("redirects_total"), "kind") + " > 0",
                "redirect: {{kind}}",
            ),
            ranged(
                by("sum", _RUN.burst("role_changes_total"), "kind") + " > 0",
                "node: {{kind}}",
            ),
            about="How many a step; nothing drawn is none.",
            unit="short",
            stacked=True,
        ),
        width=12,
        height=7,
    )


def add_observer(board: Board) -> None:
    """Add what the probe says about itself."""
    board.row("Can it be trusted: the probe itself")
    for title, metric, label, about in (
        (
            "Schedule lateness",
            "schedule_lateness_seconds",
            "lane",
            "Sent after it was due.",
        ),
        ("Loop lag", "loop_lag_seconds", "process", "How late event loops woke up."),
        (
            "GC pauses",
            "gc_pause_seconds",
            "process",
            "Garbage collections of the probe processes; none is best.",
        ),
    ):
        board.add(
            lines(
                title,
                *(
                    ranged(_RUN.quantile(q, metric, label), f"{{{{{label}}}}} {text}")
                    for q, text in ((0.5, "p50"), (0.99, "p99"), (1, "max"))
                ),
                about=about + " A maximum is the upper bound of its bucket.",
                unit="s",
                logarithmic=True,
            ),
            width=8,
            height=7,
        )
    board.add(
        lines(
            "Blind",
            ranged(
                by("max", _RUN.step("blind_time_seconds_total"), "lane"), "{{lane}}"
            ),
            about="Seconds of a step in which a stall of the probe hid the cluster.",
            unit="s",
            stacked=True,
        ),
        width=12,
        height=6,
    )
    board.add(
        number(
            "Milliseconds of the film lost",
            instant(f"max({_RUN.growth('cells_dropped_total', _RANGE)})"),
            about="Samples that made room before they were scraped: scrape more often. "
            "The counters have lost nothing.",
            steps=WARN_ABOVE_ZERO,
        ),
        width=4,
        height=6,
    )
    board.add(
        rows(
            "What runs",
            (CLUSTER_LABEL, "run", "scenario", "shards", "engine"),
            (
                Column(
                    "Probes",
                    by(
                        "sum",
                        chosen("job", CLUSTER_LABEL).last("run_info", _RANGE),
                        *(CLUSTER_LABEL, "run", "scenario", "shards", "engine"),
                    ),
                ),
            ),
            about="Runs that were scraped in the time shown.",
            sort="Probes",
        ),
        width=8,
        height=6,
    )


def add_notices(board: Board) -> None:
    """Add what became of notices of incidents."""
    board.row("Was anybody told: notices of incidents by webhook")
    board.add(
        lines(
            "Notices that wait",
            ranged(by("max", _RUN("webhook_queue_notices"), "webhook"), "{{webhook}}"),
            about="A receiver that takes them has none for longer than a moment.",
            unit="short",
        ),
        width=12,
        height=6,
    )
    dropped = _RUN.step("webhook_notices_dropped_total")
    board.add(
        lines(
            "Requests that failed, notices dropped",
            ranged(
                by("sum", _RUN.step("webhook_requests_failed_total"), "webhook"),
                "{{webhook}} failed",
            ),
            ranged(
                by("sum", dropped, "webhook", "reason") + " > 0",
                "{{webhook}} dropped: {{reason}}",
            ),
            about="By step. What failed is tried again, what was dropped is not.",
            unit="short",
            stacked=True,
        ),
        width=12,
        height=6,
    )
