"""What a dashboard asks of Prometheus, as Grafana would ask it.

Variables are replaced as with "All" chosen; steps follow Grafana's rule: the largest of
the time shown over the points of a panel, its least interval, and the time over 11,000.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Plain = Mapping[str, Any]
_MOST_POINTS = 11_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A time that is shown; UNIX seconds.

    Args:
        start: its start.
        end: its end.
        scrape_s: how often is scraped.
        values: variable -> text that replaces it.
    """

    start: float
    end: float
    scrape_s: float = 5.0
    values: Mapping[str, str] | None = None

    def step_ms(self, panel: Plain, *, points: int = 1000) -> int:
        """Return the step of a panel."""
        length_ms = (self.end - self.start) * 1000
        wanted: float = length_ms / panel.get("maxDataPoints", points)
        least = _milliseconds(panel.get("interval", "")) or self.scrape_s * 1000
        return math.ceil(max(wanted, least, length_ms / _MOST_POINTS))

    def fill(self, text: str, step_ms: int, dashboard: Plain) -> str:
        """Return a query with all variables replaced."""
        scrape_ms = round(self.scrape_s * 1000)
        found = {
            "__range": f"{round(self.end - self.start)}s",
            "__interval": f"{step_ms}ms",
            "__rate_interval": f"{max(step_ms + scrape_ms, 4 * scrape_ms)}ms",
        }
        for variable in dashboard["templating"]["list"]:
            current = variable.get("current", {}).get("value")
            found[variable["name"]] = (
                variable["allValue"] if current == "$__all" else str(current)
            )
        found |= self.values or {}
        return re.sub(r"\$(\w+)", lambda match: found[match[1]], text)


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Args:
        where: what asks, for messages.
        expr: ready to be asked.
        legend: how series are named, with {{label}}; empty if they are not.
        step_ms: 0 for a query at the end of the time.
    """

    where: str
    expr: str
    legend: str = ""
    step_ms: int = 0


def _milliseconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)(ms|s)", text)
    return int(match[1]) * (1 if match[2] == "ms" else 1000) if match else 0


def panels(dashboard: Plain) -> Iterator[Plain]:
    """Yield the panels that show something."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel


def panel_queries(panel: Plain, shown: Shown, dashboard: Plain) -> Iterator[Query]:
    """Yield the queries of a panel."""
    step_ms = shown.step_ms(panel)
    for target in panel["targets"]:
        yield Query(
            f"{dashboard['title']} / {panel['title']} / {target['refId']}",
            shown.fill(target["expr"], step_ms, dashboard),
            target.get("legendFormat", "").replace("__auto", ""),
            0 if target.get("instant") else step_ms,
        )


def annotation_queries(dashboard: Plain, shown: Shown) -> Iterator[tuple[Plain, Query]]:
    """Yield the annotations that ask Prometheus, each with its query."""
    for annotation in dashboard["annotations"].get("list", []):
        if "expr" in annotation:
            step_ms = shown.step_ms({})
            yield (
                annotation,
                Query(
                    f"{dashboard['title']} / annotation {annotation['name']}",
                    shown.fill(annotation["expr"], step_ms, dashboard),
                    annotation["titleFormat"],
                    step_ms,
                ),
            )


def name_of(legend: str, labels: Mapping[str, str]) -> str:
    """Return how a series is named in a legend."""
    if not legend:
        return ", ".join(f"{key} {value}" for key, value in sorted(labels.items()))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)
