"""Recording and alerting rules for Prometheus.

Burn rates and their windows follow the multi-window, multi-burn-rate alerts of the SRE
workbook (Google, 2018, chapter 5): what would use up 2 % of a 30-day budget in an hour,
and 5 % in six, seen in a short window as well, so that an alert ends when the trouble
does.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from loadprobe.dashboards.promql import (
    DARK,
    Source,
    by,
    open_unplanned,
    share,
    unplanned,
)
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL

OBJECTIVE = 0.999
"""Availability that is promised of every lane, shard and op kind, over 30 days."""

JOB = "loadprobe"
"""Name of the job that scrapes /metrics."""

WINDOWS = ("5m", "30m", "1h", "6h")
_OBSERVED = "observed_time_seconds_total"
_ALL = Source()
_SCOPE = (CLUSTER_LABEL, "lane", "shard", "op")
_LANE = (CLUSTER_LABEL, "lane")
_PLACE = (*_LANE, "shard")
_WEBHOOK = (CLUSTER_LABEL, "webhook")
_SCOPE_TEXT = (
    "{{ $labels.cluster }}, lane {{ $labels.lane }}, shard {{ $labels.shard }}"
)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


class AlertRule(NamedTuple):
    """One alert: its name, how grave it is, when it fires, and what a person reads."""

    name: str
    severity: str
    expr: str
    lasting: str
    summary: str
    todo: str


def rules_text() -> str:
    """Return the file."""
    # One group: its rules are evaluated in order, so that alerts see fresh records.
    rules = [*_records(), *(_plain(alert) for alert in _alerts())]
    document = {"groups": [{"name": "loadprobe", "rules": rules}]}
    head = "# Made by `loadprobe dashboards` from the metric catalogue. Do not edit.\n"
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000)


def dark_ratio(window: str) -> str:
    """Return the name of the recorded share of time that was dark, not by plan."""
    return f"scope:{_ALL(DARK, op='')}:ratio_rate{window}"


def _records() -> Iterator[dict[str, str]]:
    """Yield the shares, which lie between 0 and 1 whatever is scraped.

    What was by plan is taken from each series by its growth, which is exact. Rates are
    not: they add more to a counter that has counted before than to one that begins at
    zero, so that darkness by plan would count in part. A restart that no scrape saw (a
    counter is beyond what it was) leaves out what was counted before, of one counter
    and not of the other: hence both limits. Where nothing was observed there is no
    share at all.
    """
    for window in WINDOWS:

        def grown(name: str, window: str = window) -> str:
            return _ALL.growth(name, window)

        dark = by("sum", unplanned(grown), *_SCOPE)
        seen = by("sum", grown(_OBSERVED), *_SCOPE)
        yield {"record": dark_ratio(window), "expr": share(dark, seen)}


def _burning(rate: float, long: str, short: str) -> str:
    limit = f"{rate} * {round(1 - OBJECTIVE, 9)}"
    return f"{dark_ratio(long)} > {limit}\nand {dark_ratio(short)} > {limit}"


def _alerts() -> Iterator[AlertRule]:
    current = by("max", open_unplanned(_ALL), *_SCOPE)
    yield AlertRule(
        "LoadprobeOutage",
        "critical",
        f"{current} > 10",
        "0s",
        f"{_SCOPE_TEXT} is down",
        "No {{ $labels.op }} has been served for {{ $value | humanizeDuration }}. Open "
        "the maintenance window dashboard: which lanes and shards, since what event?",
    )
    yield AlertRule(
        "LoadprobeBudgetBurnsFast",
        "critical",
        _burning(14.4, "1h", "5m"),
        "1m",
        f"{_SCOPE_TEXT} burns its error budget fast",
        "At this rate ({{ $value | humanizePercentage }} of the last hour dark) the "
        "budget of 30 days is gone in two.",
    )
    yield AlertRule(
        "LoadprobeBudgetBurnsSlowly",
        "warning",
        _burning(6, "6h", "30m"),
        "5m",
        f"{_SCOPE_TEXT} burns its error budget",
        "At this rate ({{ $value | humanizePercentage }} of the last six hours dark) "
        "the budget of 30 days is gone in five.",
    )
    burn = _ALL("error_budget_burn_rate", window_='="3d"')
    still = _ALL("error_budget_burn_rate", window_='="6h"')
    yield AlertRule(
        "LoadprobeBudgetBurnsForDays",
        "warning",
        f"{by('max', burn, *_PLACE)} > 1\nand {by('max', still, *_PLACE)} > 1",
        "1h",
        f"{_SCOPE_TEXT} burns its error budget",
        "In three days and in six hours it was dark {{ $value | humanize }} times as "
        "long as [slo] availability allows. The probe's own reckoning, over all runs.",
    )
    left = _ALL("error_budget_left_seconds")
    yield AlertRule(
        "LoadprobeBudgetSpent",
        "warning",
        f"-{by('min', left, *_PLACE, 'period')} > 0",
        "0s",
        f"{_SCOPE_TEXT} has no error budget left ({{{{ $labels.period }}}})",
        "It was dark for {{ $value | humanizeDuration }} more than [slo] availability "
        "allows. The probe's own reckoning, over all runs.",
    )
    blind = by("max", f"rate({_ALL('blind_time_seconds_total', '5m')})", *_LANE)
    yield AlertRule(
        "LoadprobeBlind",
        "warning",
        f"{blind} > 0.01",
        "2m",
        "The probe of {{ $labels.cluster }} is blind on lane {{ $labels.lane }}",
        "It was stalled for {{ $value | humanizePercentage }} of the last 5 minutes: "
        "outages in that time are not seen. Give it a CPU, or less load.",
    )
    yield AlertRule(
        "LoadprobeDown",
        "warning",
        f'up{{job="{JOB}"}} == 0',
        "1m",
        "The probe {{ $labels.instance }} does not answer",
        "It has ended or hangs, and nothing is measured. A run that was to end is no "
        "reason for concern: take it out of the scrape configuration.",
    )
    lost = _ALL("lost_writes_total")
    grown = f"increase({_ALL('lost_writes_total', '15m')})"
    yield AlertRule(
        "LoadprobeLostWrites",
        "critical",
        f"{by('sum', grown, *_LANE, 'shard')} > 0\n"
        f"or {by('sum', f'{lost} > 0 unless {lost} offset 15m', *_LANE, 'shard')}",
        "0s",
        f"{_SCOPE_TEXT} lost acknowledged writes",
        "Writes that the server acknowledged were gone when they were read back. The "
        "run folder tells which.",
    )
    now = f"rate({_ALL('operations_total', '2m')})"
    before = f"rate({_ALL('operations_total', '1h')})"
    yield AlertRule(
        "LoadprobeLaneSilent",
        "warning",
        f"{by('sum', now, *_LANE)} == 0\nand {by('sum', before, *_LANE)} > 0",
        "1m",
        "Lane {{ $labels.lane }} of {{ $labels.cluster }} is silent",
        "The probe answers but judges no arrivals any more: nothing is measured there.",
    )
    yield _untold()
    yield from _cut_off()


def _cut_off() -> Iterator[AlertRule]:
    """Yield the alerts of ways that do not lead to nodes, before these serve."""
    yield AlertRule(
        "LoadprobeNodeUnreached",
        "warning",
        f"{by('max', _ALL('unreached_nodes'), CLUSTER_LABEL)} > 0",
        "0s",
        "Nodes of {{ $labels.cluster }} cannot be reached: {{ $value }}",
        "A node came, or was replaced, and no entry of address_map or rule of the NAT "
        "leads to it: compare with loadprobe access nat --check. The live view says "
        "which node it is.",
    )
    yield AlertRule(
        "LoadprobeTunnelDown",
        "warning",
        f"{by('min', _ALL('tunnel_up'), CLUSTER_LABEL)} == 0",
        "30s",
        "The tunnel to {{ $labels.cluster }} is down",
        "Nothing is measured until it is open again; it is tried again by itself. The "
        "live view says what ssh says.",
    )


def _untold() -> AlertRule:
    """Return the alert of notices that do not arrive: by another way than theirs."""
    waiting = by("max", _ALL("webhook_queue_notices"), *_WEBHOOK)
    dropped = f"increase({_ALL('webhook_notices_dropped_total', '1h')})"
    return AlertRule(
        "LoadprobeNoticesNotSent",
        "warning",
        f"{waiting} > 0\nor {by('sum', dropped, *_WEBHOOK)} > 0",
        "10m",
        "Webhook {{ $labels.webhook }} of {{ $labels.cluster }} does not take notices",
        "Notices of incidents wait for 10 minutes, or were dropped within the hour: "
        "nobody is told. The live view and the log say what the receiver answers.",
    )


def _plain(alert: AlertRule) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
    if alert.lasting != "0s":
        rule["for"] = alert.lasting
    rule["labels"] = {"severity": alert.severity}
    rule["annotations"] = {"summary": alert.summary, "description": alert.todo}
    return rule
