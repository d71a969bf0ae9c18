"""A comparison in words and numbers, the same for terminal and Markdown. Pure."""

from loadprobe.core.comparing.document import (
    ComparisonDocument,
    Difference,
    FigureComparison,
    Repeats,
    SteadyLane,
)

COLUMNS = ("", "runs", "median", "[lower, upper]", "sure", "each run")


def repeats_row(repeats: Repeats) -> list[str]:
    """Return a row of a figure's table; see ``COLUMNS``."""
    return [
        repeats.group,
        str(len(repeats.points)),
        number_text(repeats.median),
        f"[{number_text(repeats.lower)}, {number_text(repeats.upper)}]",
        f"{100 * repeats.confidence:.1f} %",
        " ".join(number_text(p.estimate) for p in repeats.points),
    ]


STEADY_TITLE = "Steady lanes: mean response time of a second (ms)"
STEADY_COLUMNS = ("", "lane", "seconds", "worth", "mean", "standard error", "p")
STEADY_NOTE = (
    "Seconds of one run resemble their neighbours: they are worth so many independent "
    "ones. p is of these two runs alone (Welch): whether it would be so again, only "
    "repeats say."
)


def steady_row(steady: SteadyLane) -> list[str]:
    """Return a row of the table of steady lanes; see ``STEADY_COLUMNS``."""
    return [
        steady.group,
        steady.lane,
        str(steady.seconds),
        number_text(steady.effective),
        number_text(steady.mean_ms),
        number_text(steady.error_ms),
        "" if steady.p is None else f"{steady.p:.4f}",
    ]


def figure_title(figure: FigureComparison) -> str:
    """Return what a figure is: ``tls read p99_ms: response time, ... (ms)``."""
    unit = f" ({figure.unit})" if figure.unit else ""
    return f"{figure.figure}: {figure.words}{unit}"


def difference_text(
    document: ComparisonDocument, figure: FigureComparison, said: Difference
) -> str:
    """Return one sentence on a group beside the baseline."""
    baseline = document.groups[0].label
    unit = f" {figure.unit}" if figure.unit else ""
    if said.answer in {"more", "less"}:
        middle = next(r.median for r in figure.repeats if r.group == baseline)
        part = f" ({100 * said.shift / middle:+.0f} %)" if middle else ""
        return (
            f"{said.group}: {number_text(abs(said.shift))}{unit}{_interval(said)} "
            f"{said.answer} than {baseline}{part}, {_p_text(said)}"
        )
    if said.answer == "too few":
        return f"{said.group}: too few repeats to show any difference from {baseline}"
    if said.hidden_below is None:
        why = "so few repeats show none that is smaller than their scatter"
    elif said.hidden_below == 0:
        why = "all runs have the same value"
    else:
        why = (
            f"one below {number_text(said.hidden_below)}{unit} would not have been "
            "shown by so few"
        )
    return f"{said.group}: no difference from {baseline} shown ({why}), {_p_text(said)}"


def _interval(said: Difference) -> str:
    if said.lower is None or said.upper is None:
        return ""
    ends = sorted((abs(said.lower), abs(said.upper)))
    return f" [{number_text(ends[0])}, {number_text(ends[1])}]"


def _p_text(said: Difference) -> str:
    least = 0.0001
    p = f"p < {least}" if said.corrected_p < least else f"p = {said.corrected_p:.4f}"
    if said.comparisons == 1:
        return p
    return f"{p} (corrected for {said.comparisons} comparisons)"


def shown_figures(
    document: ComparisonDocument, *, chosen: frozenset[str], is_full: bool
) -> list[FigureComparison]:
    """Return the figures that are shown: the chosen ones, else the main ones, or all.

    Those that are 0 in every run are left out unless they are asked for.
    """
    if chosen:
        return [f for f in document.figures if {f.figure, f.kind} & chosen]
    return [
        figure
        for figure in document.figures
        if is_full
        or figure.kind == "dark_ms"
        or (figure.is_main and any(p.upper for r in figure.repeats for p in r.points))
    ]


def number_text(value: float) -> str:
    """Return a number with as many digits as matter: ``1,234``, ``12.3``, ``0.123``."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{digits}f}"
    return "0" if not float(text.replace(",", "")) else text
