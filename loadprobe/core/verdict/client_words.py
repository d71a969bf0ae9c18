"""What a comparison of client lanes says, in words. Pure."""

from collections.abc import Iterable, Sequence

from loadprobe.core.verdict.client_document import ClientComparison, ClientRow

SHOWN = 3
"""So many comparisons are told in the verdict; all are in summary.json."""


def client_sentences(comparisons: Sequence[ClientComparison]) -> list[str]:
    """Return what the comparisons say: who came back first, hid, amplified."""
    sentences = [
        f"{comparison.about}: {text}"
        for comparison in comparisons[:SHOWN]
        for text in _said(comparison)
    ]
    hidden = len(comparisons) - SHOWN
    if hidden > 0:
        sentences.append(f"{hidden} more comparisons of clients: see summary.json")
    return sentences


def _said(comparison: ClientComparison) -> Iterable[str]:
    clients = [row for row in comparison.rows if row.rank is not None]
    if not any(row.dark_ms.upper or row.is_hiding for row in clients):
        return
    yield f"client lanes by their return: {', '.join(map(_recovered, clients))}"
    added = [
        f"{row.lane} {row.beyond_witness_ms.estimate:,.0f} ms "
        f"[{row.beyond_witness_ms.lower:,.0f}, {row.beyond_witness_ms.upper:,.0f}]"
        for row in clients
        if row.beyond_witness_ms is not None and row.beyond_witness_ms.lower
    ]
    if added:
        yield f"dark while the witness was served: {', '.join(added)}"
    for row in clients:
        if row.is_hiding:
            yield f"{row.lane} hid it: it raised no error, {_waited(row)}"
    for row in clients:
        if row.amplifies:
            yield f"{row.lane} amplified it: {', '.join(_amplified(row))}"
    blind = [f"{row.lane} {row.blind_ms:,.0f} ms" for row in clients if row.blind_ms]
    if blind:
        yield f"not comparable while blind: {', '.join(blind)}"


def _recovered(row: ClientRow) -> str:
    if row.recovered_ms is None:
        return f"{row.lane} not at all"
    if not row.dark_ms.upper:
        return f"{row.lane} was never dark"
    return f"{row.lane} after {row.recovered_ms:,.0f} ms"


def _waited(row: ClientRow) -> str:
    told = [f"{count:,} {outcome}" for outcome, count in row.failed.items()]
    arrivals = f"arrivals {', '.join(told)}" if told else "no arrival failed"
    if row.worst_response_ms is None:
        return arrivals
    return f"{arrivals}, longest response {row.worst_response_ms:,.0f} ms"


def _amplified(row: ClientRow) -> Iterable[str]:
    for name, value, rest, what in (
        (
            "attempts",
            row.rates.attempts_per_arrival,
            row.rates_at_rest.attempts_per_arrival,
            "attempts per arrival",
        ),
        (
            "connects",
            row.rates.connects_per_s,
            row.rates_at_rest.connects_per_s,
            "connections per second",
        ),
        (
            "refreshes",
            row.rates.refreshes_per_s,
            row.rates_at_rest.refreshes_per_s,
            "CLUSTER SLOTS per second",
        ),
    ):
        if name in row.amplifies:
            usual = "not known" if rest is None else f"{rest:,.1f}"
            yield f"{value:,.1f} {what} (at rest {usual})"
