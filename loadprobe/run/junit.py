"""What a run was judged by, as a JUnit file for CI servers."""

from collections.abc import Iterable
from pathlib import Path

from loadprobe.core.verdict.headline import END_WORDS, ended_badly
from loadprobe.errors import UsageError
from loadprobe.outputs.comparing.junit import render_junit
from loadprobe.outputs.folder.reader import RunData


def write_junit(path: Path, run: RunData) -> None:
    """Write a case for the run, its scenario, each expectation and threshold.

    Raises:
        UsageError: the file cannot be written.
    """
    checked = {what: list(problems) for what, problems in _cases(run)}
    try:
        path.write_bytes(render_junit(run.info.name, checked))
    except OSError as exc:
        raise UsageError(
            f"--junit: cannot write {str(path)!r}: {exc.strerror or exc}"
        ) from exc


def _cases(run: RunData) -> Iterable[tuple[str, Iterable[str]]]:
    """Yield what was judged, and why it failed; nothing if it did not."""
    summary, scenario = run.summary, run.summary.scenario
    is_whole = summary.state not in ("invalid", "interrupted", "running")
    yield "the run", [*run.info.problems, *([] if is_whole else [summary.headline])]
    if scenario is not None:
        ended = ended_badly(scenario)
        why = f": {scenario.reason}" if scenario.reason else ""
        told = [] if ended is None else [f"it {END_WORDS[ended[1]]}{why}"]
        yield f"scenario {scenario.name}", told
        for expectation in scenario.expectations:
            detail = expectation.detail or "it could not be told"
            yield expectation.what, [] if expectation.is_met else [detail]
    for check in summary.slo:
        actual = "no value" if check.actual is None else f"{check.actual:.6g}"
        told = [] if check.is_met else [f"{actual}, the limit is {check.limit:.6g}"]
        yield check.name, told
