"""A cell that finds the highest rate at which the thresholds of ``[slo]`` are met.

Each trial is a run of its own at a rate that never changes, by an open loop. Lanes keep
their shares of it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loadprobe.bench.cell_files import MOST_PER_S
from loadprobe.bench.child import ChildRun
from loadprobe.config.keys import Config, Slo
from loadprobe.core.comparing.obstacles import MOST_BLIND
from loadprobe.core.load.capacity import CapacitySearch
from loadprobe.core.verdict.summary import Summary
from loadprobe.errors import UsageError
from loadprobe.run.aftermath import load_any_run

TRIALS = "capacity.json"
_MS_PER_S = 1000
_MOST_AGAIN = 2
"""So often a trial in which the probe was late is repeated before it counts."""

RunTrial = Callable[[float], Awaitable[ChildRun | None]]
"""Runs a cell at a multiple of its rates; None if we were told to end."""


class Trial(msgspec.Struct, frozen=True):
    """A line of ``capacity.json``: one trial.

    Args:
        rate_per_s: of all lanes.
        run: its run folder, relative to that of the cell.
        missed: the thresholds that were not met; empty if the rate was carried.
        is_probe_slow: it was the probe that could not send in time.
    """

    rate_per_s: float
    run: str
    missed: list[str]
    is_probe_slow: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a cell found.

    Args:
        run: the run folder at the highest rate that was carried.
        kept_per_s: that rate, of all lanes.
        failed_per_s: the lowest one above it that was not; None if that is unknown,
            because a limit of the probe came first.
    """

    run: Path
    kept_per_s: float
    failed_per_s: float | None


def check_capacity(config: Config) -> None:
    """Refuse a configuration whose capacity means nothing.

    Raises:
        UsageError: it has no threshold, or a lane without a rate that stays.
    """
    slo = config.slo
    if slo == Slo():
        raise UsageError(
            "--capacity finds the highest rate that meets [slo], and [slo] has no "
            "threshold; add for example p99_ms = 5 and availability = 0.999"
        )
    for lane in config.lanes:
        if lane.loop == "closed" or lane.schedule == "ramp":
            raise UsageError(
                f"--capacity needs rates that are given and stay: lane {lane.name} has "
                f"loop {lane.loop!r} and schedule {lane.schedule!r}; use loop 'open' "
                "and schedule 'constant' or 'poisson'"
            )
        if lane.incident_rate_per_s is not None:
            raise UsageError(
                f"--capacity needs rates that stay: lane {lane.name} has an "
                "incident_rate_per_s; remove it"
            )


async def find_capacity(
    config: Config, folder: Path, run: RunTrial, tell: Callable[[str], None]
) -> Capacity | None:
    """Run trials until the capacity is known; None if we were told to end.

    Args:
        config: of the cell; its rates are the first that are tried.
        folder: of the cell, where its runs and ``capacity.json`` are.
        run: runs a trial.
        tell: takes a line about each.

    Raises:
        UsageError: the thresholds are missed at the lowest rate, too.
    """
    total_per_s = sum(lane.rate_per_s for lane in config.lanes)
    most = max(lane.rate_per_s for lane in config.lanes)
    search = CapacitySearch(highest=MOST_PER_S / most)
    trials: list[Trial] = []
    runs: dict[float, Path] = {}
    slow: dict[float, bool] = {}
    again = 0
    while (multiple := search.next()) is not None:
        ran = await run(multiple)
        if ran is None or ran.folder is None:
            return None
        trial = _judge(load_any_run(ran.folder).summary, config, multiple, ran.folder)
        trials.append(trial)
        runs[multiple], slow[multiple] = ran.folder, trial.is_probe_slow
        (folder / TRIALS).write_bytes(
            b"".join(msgspec.json.encode(each) + b"\n" for each in trials)
        )
        tell(f"  {_shown(trial)}")
        again = again + 1 if trial.is_probe_slow else 0
        if not 0 < again <= _MOST_AGAIN:  # else that says nothing of the target
            search.take(multiple, is_kept=not trial.missed)
            again = 0
    if search.kept is None:
        raise UsageError(
            f"[slo] is missed at {trials[-1].rate_per_s:g} arrivals per second, too "
            f"({', '.join(trials[-1].missed)}); thresholds that nothing meets have no "
            "capacity"
        )
    is_known = search.failed is not None and not slow[search.failed]
    failed = search.failed if is_known else None
    return Capacity(
        runs[search.kept],
        search.kept * total_per_s,
        None if failed is None else failed * total_per_s,
    )


def _judge(summary: Summary, config: Config, multiple: float, run: Path) -> Trial:
    total_per_s = multiple * sum(lane.rate_per_s for lane in config.lanes)
    missed = [result.name for result in summary.slo if not result.is_met]
    if summary.state in {"invalid", "failed"}:
        missed.append(f"the run is {summary.state}")
    return Trial(
        total_per_s, run.name, missed, bool(missed) and _is_slow(summary, config)
    )


def _is_slow(summary: Summary, config: Config) -> bool:
    """Tell whether a threshold may be missed because arrivals were sent too late."""
    patience_ms = float(min(lane.deadline_ms for lane in config.lanes))
    if config.slo.p99_ms is not None:
        patience_ms = min(patience_ms, config.slo.p99_ms)
    late_ms = summary.observer.lateness_ms.p99 or 0.0
    blind_part = summary.observer.blind_ms / (_MS_PER_S * summary.duration_s)
    return late_ms > patience_ms / 2 or blind_part > MOST_BLIND


def _shown(trial: Trial) -> str:
    rate = f"{trial.rate_per_s:,.0f} per second"
    if not trial.missed:
        return f"{rate}: carried"
    why = ", the probe itself was late" if trial.is_probe_slow else ""
    return f"{rate}: missed {', '.join(trial.missed)}{why}"
