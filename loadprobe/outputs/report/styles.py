"""Colours of the report. They repeat what words say, and tell nothing by themselves."""

from loadprobe.core.verdict.summary import SummaryState

STYLES: dict[SummaryState, str] = {
    "damaged": "red",
    "outage": "red",
    "invalid": "magenta",
    "failed": "red",
    "missed": "red",
    "blind": "yellow",
    "clean": "green",
    "interrupted": "magenta",
    "running": "cyan",
}
"""Of a run, by what is to be said of it."""
