"""What kills came to, and their table. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from benchmarks.markers import between

BEGIN = "<!-- begin: written by make kills -->"
END = "<!-- end: written by make kills -->"
_HEAD = (
    "killed",
    "times",
    "folder readable",
    "outages before",
    "told with right bounds",
    "dark that was not",
    "lost, ms: median",
    "most",
    "went on",
)


class Kill(msgspec.Struct, frozen=True):
    """One kill.

    Args:
        what: was killed.
        seed: of its moments.
        after_s: how long the run had measured.
        lost_ms: how much of the time before the kill is not in the folder.
        outages: stops of the server before that which had to be told.
        untold: of them, those that were not told, or with other bounds.
        false: outages that were told where nothing was done.
        is_readable: the folder was.
        went_on: the next start went on with it; None if that was not tried.
        problems: what was not as it should be, in words.
    """

    what: str
    seed: int
    after_s: float
    lost_ms: float
    outages: int
    untold: int = 0
    false: int = 0
    is_readable: bool = True
    went_on: bool | None = None
    problems: tuple[str, ...] = ()


class Kills(msgspec.Struct, frozen=True):
    """All of them.

    Args:
        host: facts of the machine.
        kills: in the order of time.
    """

    host: dict[str, str]
    kills: tuple[Kill, ...] = ()


def with_kills(page: str, found: Kills) -> str:
    """Return the page with the part between the markers made anew.

    Raises:
        ValueError: the page does not have both markers, once each and in order.
    """
    facts = ", ".join(f"{name} {fact}" for name, fact in found.host.items())
    wrong = [kill for kill in found.kills if kill.problems]
    parts = [
        f"{len(found.kills)} kills, on: {facts}.",
        f"{len(found.kills) - len(wrong)} of {len(found.kills)} are as they should be.",
        table(found.kills),
        *(f"* {kill.what}, seed {kill.seed}: {kill.problems[0]}" for kill in wrong),
    ]
    return between(page, BEGIN, END, "\n" + "\n\n".join(parts) + "\n\n")


def table(kills: Sequence[Kill]) -> str:
    """Return the table: a line for each kind of kill, and one for all."""
    by_kind: Mapping[str, list[Kill]] = {
        what: [kill for kill in kills if kill.what == what]
        for what in dict.fromkeys(kill.what for kill in kills)
    }
    rows = [_row(what, own) for what, own in by_kind.items()]
    lines = [_HEAD, ["---", *["---:"] * (len(_HEAD) - 1)], *rows]
    if len(by_kind) > 1:
        lines.append(_row("any", kills))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(what: str, kills: Sequence[Kill]) -> Sequence[str]:
    outages = sum(kill.outages for kill in kills)
    lost = [kill.lost_ms for kill in kills if kill.is_readable]
    tried = [kill.went_on for kill in kills if kill.went_on is not None]
    return (
        what,
        str(len(kills)),
        str(sum(kill.is_readable for kill in kills)),
        str(outages),
        str(outages - sum(kill.untold for kill in kills)),
        str(sum(kill.false for kill in kills)),
        f"{median(lost):.0f}" if lost else "-",
        f"{max(lost):.0f}" if lost else "-",
        f"{sum(tried)} of {len(tried)}" if tried else "-",
    )
