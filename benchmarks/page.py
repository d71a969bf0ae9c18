"""The tables of docs/performance.md, made from the figures alone. Pure."""

from collections.abc import Iterable, Sequence

from benchmarks.document import Document, Section
from benchmarks.markers import between
from benchmarks.plots import file_name
from benchmarks.rows import COLUMNS, Row, cells

BEGIN = "<!-- begin: written by make bench -->"
END = "<!-- end: written by make bench -->"
_TITLES = {
    "cost": "Closed loop, beside other tools",
    "multiplexed": "Many operations on few connections",
    "open_loop": "Open loop: how late arrivals are sent",
    "two_processes": "Two probe processes",
    "sidecar": "Sidecar",
    "growth": "More workers, more shards",
    "hour": "An hour of arrivals",
    "metrics": "The pages for Prometheus",
    "scraping": "Being scraped",
}


def with_tables(page: str, document: Document) -> str:
    """Return the page with the part between the markers made anew.

    Raises:
        ValueError: the page does not have both markers, once each and in order.
    """
    return between(page, BEGIN, END, tables(document))


def tables(document: Document) -> str:
    """Return the verdict, then a table and the pictures of every section."""
    host = ", ".join(f"{name} {fact}" for name, fact in document.host.items())
    kind = (
        "From a **quick run**: one short block each. It shows that everything can be "
        "measured; nothing can be concluded from its figures."
        if document.is_quick
        else f"From a full run of {document.repeats} blocks."
    )
    parts = [f"{kind} On: {host}.", verdict(document.rows)]
    for section in document.sections:
        parts += _section(section)
    return "\n" + "\n\n".join(parts) + "\n\n"


def verdict(rows: Sequence[Row]) -> str:
    """Return how many targets are met, and by name those that are not."""
    judged = [row for row in rows if row.limit is not None and row.values]
    missed = [row for row in judged if row.is_missed]
    lost = [row for row in rows if not row.values]
    unknown = sum(row.limit is not None for row in lost)
    text = (
        f"{len(judged) - len(missed)} of {len(judged) + unknown} targets are met, "
        f"{len(missed)} are MISSED, {unknown} could not be measured."
    )
    lines = [
        *(f"MISSED {row.name}: {cells(row)[1]}, target {row.limit}" for row in missed),
        *(f"NOT MEASURED {row.name}: {row.failure}" for row in lost),
    ]
    return "\n".join([text, *(f"* {' '.join(line.split())}" for line in lines)])


def _section(section: Section) -> Iterable[str]:
    yield f"### {_TITLES[section.name]}"
    yield _table(section.rows)
    for figure in dict.fromkeys(curve.figure for curve in section.found.curves):
        yield f"![{figure}](img/{file_name(figure)})"


def _table(rows: Sequence[Row]) -> str:
    lines = [
        COLUMNS,
        ("---", "---:", "---:", "---:", "---", "---:", "---"),
        *(tuple(cell.replace("|", "\\|") for cell in cells(row)) for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
