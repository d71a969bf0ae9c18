"""The table of docs/reliability.md, made from what was found. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.chaos.judging import Verdict
from benchmarks.markers import between

BEGIN = "<!-- begin: written by make chaos -->"
END = "<!-- end: written by make chaos -->"
_LANES = ("tcp", "tls")
_HEAD = (
    "what",
    "done",
    "truth, ms",
    "told by TCP, ms",
    "told by TLS, ms",
    "cause",
    "blind, ms",
    "verdict",
)


def with_table(
    page: str,
    rows: Sequence[Verdict],
    problems: Sequence[str],
    host: Mapping[str, str],
) -> str:
    """Return the page with the part between the markers made anew.

    Raises:
        ValueError: the page does not have both markers, once each and in order.
    """
    facts = ", ".join(f"{name} {fact}" for name, fact in host.items())
    wrong = sum(bool(row.problems) for row in rows)
    verdict = f"{len(rows) - wrong} of {len(rows)} rows are as they should be."
    parts = [f"On: {facts}.", verdict, table(rows), *(f"* {each}" for each in problems)]
    return between(page, BEGIN, END, "\n" + "\n\n".join(parts) + "\n\n")


def table(rows: Iterable[Verdict]) -> str:
    """Return the table with a line for each thing that was done."""
    lines = [_HEAD, ["---"] * len(_HEAD), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Verdict) -> Sequence[str]:
    done = row.done
    if done.obstacle:
        return done.name, done.what, *["-"] * 5, f"not possible here: {done.obstacle}"
    told = [_told(row.told_ms[lane]) for lane in _LANES]
    blind = max(row.blind_ms.values())
    verdict = "; ".join(row.problems) or "right"
    if done.remark:
        verdict += f"; {done.remark}"
    causes = ", ".join(row.causes) or "-"
    return done.name, done.what, _truth(row), *told, causes, f"{blind:.0f}", verdict


def _truth(row: Verdict) -> str:
    """Return how long it was dark, at least and at most, by the lanes it is about."""
    spans = {
        lane: (row.certain_ms[lane], row.possible_ms[lane])
        for lane in _LANES
        if row.possible_ms[lane]
    }
    if not spans:
        return "none"
    (least, most), *others = dict.fromkeys(spans.values())
    assert not others
    only = "" if len(spans) == len(_LANES) else f", {''.join(spans).upper()} only"
    return f"{least:.0f} to {most:.0f}{only}"


def _told(bounds: tuple[float, float]) -> str:
    lower, upper = bounds
    return f"{lower:.0f} to {upper:.0f}" if upper else "none"
