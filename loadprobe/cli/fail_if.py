"""``run --fail-if``: thresholds as conditions, in the words of ``compare --fail-if``.

They are the keys of ``[slo]``, and go over them: whatever the run misses, its exit code
is 3.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from loadprobe.config.file import describe_key
from loadprobe.config.keys import Config, Slo
from loadprobe.errors import UsageError

_FIGURES = {
    "outage_ms": ("max_outage_ms", ">"),
    "availability": ("availability", "<"),
    "p99_ms": ("p99_ms", ">"),
    "lost_writes": ("max_lost_writes", ">"),
    "errors": ("max_errors", ">"),
    "blind_ms": ("max_blind_ms", ">"),
}
"""Figure -> the key of [slo] that is its limit, and how a run is beyond it."""

FailIf = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Exit with 3 if this holds at the end: 'outage_ms > 100', "
        "'availability < 0.999', 'p99_ms > 5', 'lost_writes > 0', 'errors > 0' or "
        "'blind_ms > 500'. Goes over thresholds of a file.",
    ),
]


def with_limits(config: Config, conditions: Sequence[str]) -> Config:
    """Return a configuration with the thresholds that conditions mean.

    Args:
        config: as it was read.
        conditions: as they were given.

    Raises:
        UsageError: one of them is none, or is not about a run.
    """
    limits: dict[str, float] = {}
    for text in conditions:
        key, limit = _limit(text)
        if key in limits:
            raise UsageError(f"--fail-if {text!r}: there is another one of this figure")
        limits[key] = limit
    if not limits:
        return config
    slo = msgspec.structs.replace(config.slo, **limits)
    return msgspec.structs.replace(config, slo=slo)


def _limit(text: str) -> tuple[str, float]:
    from loadprobe.core.comparing.conditions import parse_condition

    try:
        condition = parse_condition(text)
    except ValueError as exc:
        known = "; of a run: " + ", ".join(_FIGURES)
        raise UsageError(f"--fail-if {exc}{known}") from exc
    if condition.figure not in _FIGURES:
        raise UsageError(
            f"--fail-if {text!r}: a run is not judged by {condition.figure!r}, only by "
            + ", ".join(_FIGURES)
        )
    key, beyond = _FIGURES[condition.figure]
    if condition.is_relative or condition.has_statistic:
        raise UsageError(
            f"--fail-if {text!r}: one run has neither a baseline nor repeats; write "
            f"'{condition.figure} {beyond} {condition.limit:g}'"
        )
    if condition.comparison != beyond:
        raise UsageError(
            f"--fail-if {text!r}: a limit of {condition.figure} is written "
            f"'{condition.figure} {beyond} {condition.limit:g}'"
        )
    limit = condition.limit
    try:
        msgspec.convert({key: int(limit) if limit.is_integer() else limit}, Slo)
    except msgspec.ValidationError as exc:
        expected = describe_key("slo", key)
        raise UsageError(f"--fail-if {text!r}: expected {expected}") from exc
    return key, int(limit) if limit.is_integer() else limit
