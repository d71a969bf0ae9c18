"""The report lays client lanes beside each other, in a table or in lines."""

import io
from dataclasses import replace

import msgspec
from rich.console import Console

from loadprobe.core.judging.activity import Work
from loadprobe.core.verdict.client_document import ClientComparison
from loadprobe.outputs.report.clients import COLUMNS, clients_rows, clients_title
from loadprobe.outputs.report.report import render_text
from tests.support.client_lanes import QUICK, SLOW, WIRE, active, compared
from tests.support.reports import make_run

BUSY = Work(attempts=32, connects=50, refreshes=7, raised=9)
FOUND = compared(
    WIRE,
    SLOW,
    replace(QUICK, open_end=True),
    activity=active({"quick": BUSY}, served_until={"quick": 12}),
)


def shown(width: int, comparisons: list[ClientComparison]) -> str:
    """Return the report of a run with comparisons."""
    run = make_run()
    summary = msgspec.structs.replace(run.summary, clients=comparisons)
    text = io.StringIO()
    Console(file=text, width=width).print(render_text(replace(run, summary=summary)))
    return text.getvalue()


def test_a_row_for_every_lane() -> None:
    """Rank, times, errors and rates stand beside those of the witness."""
    assert clients_title(FOUND) == (
        "Clients beside each other: failover, from 22:13:31.000 UTC"
    )
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in clients_rows(FOUND)]
    assert [row["lane"] for row in rows] == ["witness wire", "1. slow", "2. quick"]
    assert rows[0]["added"] == rows[0]["errors"] == rows[0]["tries"] == "-"
    assert rows[1]["back after ms"] == "900"
    assert (rows[1]["dark"], rows[1]["added"]) == ("800", "500")
    assert rows[2]["back after ms"] == "never"
    assert rows[2]["errors"] == "9"
    assert rows[2]["tries"] == "3.2 (1.0)"
    assert rows[2]["conn/s"] == "50.0 (0.0)"


def test_the_report_has_it_at_any_width() -> None:
    """What does not fit a table is told in lines."""
    for width in (160, 60):
        text = shown(width, [FOUND])
        assert "Clients beside each other: failover" in text
        assert "2. quick" in text
    assert "Clients beside each other" not in shown(160, [])
