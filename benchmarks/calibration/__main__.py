"""Calibrate the meter: ``python -m benchmarks.calibration [--quick] [--only TEXT]``.

Each case has a process of its own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.calibration.case import Order
from benchmarks.calibration.figures import Calibration, CaseFigures
from benchmarks.calibration.page import case_table, with_tables
from benchmarks.calibration.plot import draw
from benchmarks.calibration.settings import (
    FULL,
    FULL_SETTINGS,
    QUICK,
    QUICK_SETTINGS,
    Lengths,
    Setting,
)
from benchmarks.child import ask_child
from benchmarks.host import host_facts
from benchmarks.measurement import BenchmarkError
from benchmarks.wire import is_compiled_there

_ROOT = Path(__file__).resolve().parents[2]
PAGE = _ROOT / "docs" / "accuracy.md"
FIGURES = _ROOT / "docs" / "accuracy.json"
PICTURE = _ROOT / "docs" / "img" / "accuracy.svg"
_SEED = 20
_CASE_TIMEOUT_S = 300.0


def main() -> int:
    """Run the cases and return the exit status: 1 if a bound was violated."""
    options = _parse()
    if options.render:
        calibration = read(FIGURES)
    else:
        host = host_facts()
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
    if options.keep:
        calibration = with_cases(read(FIGURES), calibration.cases)
    is_whole = not (options.quick or options.only) or options.keep
    if options.render or (is_whole and not options.dry):
        write(calibration, FIGURES)
        PAGE.write_text(with_tables(PAGE.read_text(), calibration))
        draw(calibration.cases, PICTURE)
    return 0 if calibration.is_good else 1


def read(path: Path) -> Calibration:
    """Read figures that were kept."""
    return msgspec.json.decode(path.read_bytes(), type=Calibration)


def with_cases(kept: Calibration, cases: Sequence[CaseFigures]) -> Calibration:
    """Return figures that were kept with some cases measured anew, or added."""
    anew = {case.setting: case for case in cases}
    old = [anew.pop(case.setting, case) for case in kept.cases]
    return msgspec.structs.replace(kept, cases=(*old, *anew.values()))


def write(calibration: Calibration, path: Path) -> None:
    """Keep figures."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(calibration)) + b"\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration")
    add = parser.add_argument
    add("--quick", action="store_true", help="five short cases; docs stay as they are")
    add("--only", default="", help="only cases with this text in their name")
    add("--keep", action="store_true", help="with --only: docs keep all other cases")
    add("--seed", type=int, default=_SEED, help="of the outages")
    add("--dry", action="store_true", help="leave docs as they are")
    add("--json", type=Path, help="also write the figures to this file")
    add("--render", action="store_true", help="measure nothing: docs from the figures")
    return parser.parse_args()


def _run_all(options: argparse.Namespace) -> list[CaseFigures]:
    settings = QUICK_SETTINGS if options.quick else FULL_SETTINGS
    lengths = QUICK if options.quick else FULL
    chosen = [setting for setting in settings if options.only in setting.label]
    if not is_compiled_there():
        _say("no compiled copy to calibrate; make one with 'make compiled'")
        chosen = [setting for setting in chosen if not setting.compiled]
    if not chosen:
        names = "; ".join(setting.label for setting in settings)
        sys.exit(f"no case has {options.only!r} in its name; there are: {names}")
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
    try:
        return ask_child(
            "benchmarks.calibration.case",
            Order(setting, lengths, seed),
            CaseFigures,
            timeout_s=_CASE_TIMEOUT_S,
            compiled=setting.compiled,
        )
    except BenchmarkError as exc:
        return CaseFigures(setting, failure=str(exc))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
