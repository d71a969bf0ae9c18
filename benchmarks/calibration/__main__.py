"""Calibrate the meter: ``python -m benchmarks.calibration [--quick] [--only TEXT]``."""

import argparse
import asyncio
import os
import platform
import sys
import traceback
from pathlib import Path

import msgspec
import uvloop

from benchmarks.calibration.figures import Calibration, CaseFigures, summarize
from benchmarks.calibration.judging import judge
from benchmarks.calibration.measuring import observe
from benchmarks.calibration.page import case_table, with_tables
from benchmarks.calibration.plot import draw
from benchmarks.calibration.script import duration_s, write_plan
from benchmarks.calibration.settings import (
    FULL,
    FULL_SETTINGS,
    QUICK,
    QUICK_SETTINGS,
    Lengths,
    Setting,
)

_ROOT = Path(__file__).resolve().parents[2]
PAGE = _ROOT / "docs" / "accuracy.md"
FIGURES = _ROOT / "docs" / "accuracy.json"
PICTURE = _ROOT / "docs" / "img" / "accuracy.svg"
_SEED = 20
_CASE_TIMEOUT_S = 180.0


def main() -> int:
    """Run the cases and return the exit status: 1 if a bound was violated."""
    options = _parse()
    if options.render:
        calibration = read(FIGURES)
    else:
        host = _host_facts()
        cases = _run_all(options)
        calibration = Calibration(options.seed, options.quick, host, tuple(cases))
    print(case_table(calibration.cases))
    for case in calibration.cases:
        for problem in case.problems:
            print(f"VIOLATION {case.setting.label}: {problem}")
        if case.failure is not None:
            print(f"NOT MEASURED {case.setting.label}: {case.failure}")
    if options.json is not None:
        write(calibration, options.json)
    if options.render or not (options.dry or options.quick or options.only):
        write(calibration, FIGURES)
        PAGE.write_text(with_tables(PAGE.read_text(), calibration))
        draw(calibration.cases, PICTURE)
    return 0 if calibration.is_good else 1


def read(path: Path) -> Calibration:
    """Read figures that were kept."""
    return msgspec.json.decode(path.read_bytes(), type=Calibration)


def write(calibration: Calibration, path: Path) -> None:
    """Keep figures."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(calibration)) + b"\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration")
    add = parser.add_argument
    add("--quick", action="store_true", help="four short cases; docs stay as they are")
    add("--only", default="", help="only cases with this text in their name")
    add("--seed", type=int, default=_SEED, help="of the outages")
    add("--dry", action="store_true", help="leave docs as they are")
    add("--json", type=Path, help="also write the figures to this file")
    add("--render", action="store_true", help="measure nothing: docs from the figures")
    return parser.parse_args()


def _run_all(options: argparse.Namespace) -> list[CaseFigures]:
    settings = QUICK_SETTINGS if options.quick else FULL_SETTINGS
    lengths = QUICK if options.quick else FULL
    chosen = [setting for setting in settings if options.only in setting.label]
    cases: list[CaseFigures] = []
    for number, setting in enumerate(chosen, start=1):
        _say(f"{number}/{len(chosen)} {setting.label} ...")
        case = _run(setting, lengths, options.seed)
        cases.append(case)
        _say(
            f"  not measured: {case.failure}"
            if case.failure is not None
            else f"  {sum(row.compared for row in case.kinds)} comparisons, "
            f"{case.violations} violations, median error {case.error_median_ms} ms, "
            f"blind {case.blind_ms:.0f} ms"
        )
    return cases


def _run(setting: Setting, lengths: Lengths, seed: int) -> CaseFigures:
    """Run one case; whatever goes wrong in it, the others go on."""
    plan = write_plan(setting, lengths, seed)

    async def measure() -> CaseFigures:
        async with asyncio.timeout(_CASE_TIMEOUT_S + duration_s(plan)):
            observed = await observe(setting, plan)
        return summarize(setting, judge(setting, plan, observed), observed)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measure())
    except Exception as exc:  # noqa: BLE001 - told in the table, and by the exit status
        traceback.print_exc()
        return CaseFigures(setting, failure=f"{type(exc).__name__}: {exc}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _host_facts() -> dict[str, str]:
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
