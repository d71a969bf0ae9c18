"""What a run shows when it is over: problems, the report, and where its page is."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from loadprobe.errors import UsageError
from loadprobe.outputs.folder.reader import RunData, load_run
from loadprobe.outputs.page.page import write_page
from loadprobe.outputs.report.brief import SHOWN_PROBLEMS, page_line, render_brief
from loadprobe.outputs.report.report import render_text
from loadprobe.run.junit import write_junit
from loadprobe.run.plan import RunPlan
from loadprobe.run.time_limit import OutOfTime, time_limit

SHOWING_S = 15.0
"""For all of it: a service manager waits no longer than it was told."""


class Reporting:
    """Reports a run that is over, from its folder.

    Args:
        plan: what was run.
        console: where the report goes.
    """

    def __init__(self, plan: RunPlan, console: Console) -> None:
        self._junit = plan.junit
        self._is_full = plan.is_full
        self._console = console

    def report(self, path: Path, problems: Sequence[str]) -> list[str]:
        """Write the page and what else is made of a run, and show the report.

        What takes too long is left out, which is said.

        Args:
            path: its folder, in which everything is.
            problems: of the run and its files.

        Returns:
            What came up meanwhile.
        """
        new: list[str] = []
        try:
            with time_limit(SHOWING_S):
                run = load_run(path)
                new += self._show_report(run, problems)
                new += self._show_page(run)
        except OutOfTime:
            self.say(
                f"Not all of the report was made within {SHOWING_S:g} s; "
                f"loadprobe report {path} --html makes it."
            )
        return new

    def _show_report(self, run: RunData, problems: Sequence[str]) -> list[str]:
        """Show problems, and then the report: it ends with what matters most.

        Returns:
            What came up meanwhile.
        """
        new: list[str] = []
        if self._junit is not None:
            try:
                write_junit(self._junit, run)
            except UsageError as exc:
                new.append(str(exc))
        shown = () if self._is_full else run.info.problems[:SHOWN_PROBLEMS]
        for text in (*problems, *new):
            if text not in shown:
                self.say(f"PROBLEM  {text}")
        report = render_text(run) if self._is_full else render_brief(run)
        self._console.print(report, crop=False)
        return new

    def _show_page(self, run: RunData) -> list[str]:
        """Write the page of the run, and say where it is; return what went wrong.

        It may take seconds. So it comes after all else, though it is what is read last.
        """
        try:
            text = page_line(write_page(run))
        except (OSError, UsageError) as exc:
            text = f"the page of the run cannot be written: {exc}"
            self.say(f"PROBLEM  {text}")
            return [text]
        self.say(text)
        return []

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
