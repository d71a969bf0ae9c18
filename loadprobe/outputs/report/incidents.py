"""The table of incidents: when, how long, who, why, and what was being changed.

Pure but for what rich does. It has all of them; blind times that no outage fell into
are told in one line.
"""

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from loadprobe.core.verdict.summary import IncidentSummary, Summary
from loadprobe.core.verdict.texts import clock_text
from loadprobe.outputs.report.rows import Rows

COLUMNS = ("", "when (UTC)", "who", "why", "changed", "dark ms", "[lower, upper]")
_LABELS = 2
_TEXTS = 3
_INDENT = (0, 0, 0, 2)


def incidents_view(summary: Summary) -> list[RenderableType]:
    """Return the table with its title; nothing if nothing happened."""
    told = [incident for incident in summary.incidents if not incident.is_probe_only]
    parts: list[RenderableType] = []
    if told:
        parts += [
            Text("\nIncidents", style="bold"),
            Padding(Rows(COLUMNS, _LABELS, [_row(i) for i in told], _TEXTS), _INDENT),
        ]
    blind = [incident for incident in summary.incidents if incident.is_probe_only]
    if blind and told:
        times = "once" if len(blind) == 1 else f"{len(blind):,} times"
        text = f"besides, the probe itself was blind {times}, and saw no outage then"
        parts.append(Padding(Text(text), _INDENT))
    return parts


def _row(incident: IncidentSummary) -> list[str]:
    dark = incident.dark_ms
    return [
        str(incident.number),
        clock_text(incident.start_unix_ns),
        incident.where,
        incident.why,
        ", ".join(incident.steps) or "-",
        f"{dark.estimate:.1f}",
        f"[{dark.lower:.1f}, {dark.upper:.1f}]",
    ]
