"""The part of the report that lays client lanes beside each other.

Pure: titles and cells, to be drawn as a table.
"""

from collections.abc import Sequence

from loadprobe.core.verdict.client_document import ClientComparison, ClientRow
from loadprobe.core.verdict.texts import clock_text

COLUMNS = (
    "lane",
    "back after ms",
    "dark",
    "added",
    "longest",
    "late",
    "errors",
    "worst ms",
    "tries",
    "conn/s",
    "slots/s",
)
LEGEND = (
    "in ms: dark on any shard, added while the witness was served, longest on one "
    "shard; late arrivals; errors that the client raised; tries per arrival, and "
    "connections and CLUSTER SLOTS per second while anything was dark (at rest)"
)


def clients_title(comparison: ClientComparison) -> str:
    """Return the heading of a comparison."""
    begun = clock_text(comparison.start_unix_ns)
    return f"Clients beside each other: {comparison.about}, from {begun} UTC"


def clients_rows(comparison: ClientComparison) -> Sequence[Sequence[str]]:
    """Return the cells of a comparison, a row for every lane."""
    return [_row(row) for row in comparison.rows]


def _row(row: ClientRow) -> list[str]:
    beyond, rates, rest = row.beyond_witness_ms, row.rates, row.rates_at_rest
    rank = "witness" if row.rank is None else f"{row.rank}."
    return [
        f"{rank} {row.lane}",
        "never" if row.recovered_ms is None else f"{row.recovered_ms:,.0f}",
        f"{row.dark_ms.estimate:,.0f}",
        "-" if beyond is None else f"{beyond.estimate:,.0f}",
        f"{row.longest_ms:,.0f}",
        f"{row.failed.get('late', 0):,}",
        "-" if row.rank is None else f"{row.raised:,}",
        "-" if row.worst_response_ms is None else f"{row.worst_response_ms:,.0f}",
        _rate(rates.attempts_per_arrival, rest.attempts_per_arrival),
        _rate(rates.connects_per_s, rest.connects_per_s),
        _rate(rates.refreshes_per_s, rest.refreshes_per_s),
    ]


def _rate(value: float | None, rest: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" + ("" if rest is None else f" ({rest:.1f})")
