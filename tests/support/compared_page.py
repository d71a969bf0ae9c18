"""Groups of runs that fail over, with what a page shows of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from loadprobe.core.comparing.comparison import RunGroup, compare_groups
from loadprobe.core.comparing.document import ComparisonDocument
from loadprobe.core.phase_names import Phase
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.core.verdict.scenario_document import (
    PhaseTime,
    ScenarioSummary,
    StepSummary,
)
from loadprobe.outputs.comparing.circumstances import compared_run
from loadprobe.outputs.comparing.page import make_comparison_page
from loadprobe.outputs.comparing.words import shown_figures
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.overlay import overlaid_run
from loadprobe.outputs.page.page import keep_page
from tests.support.page_runs import planted_run
from tests.support.reports import MS, START

LENGTH_S = 20
TO_ERROR_MS = 180
TO_SETTLED_MS = 4_000


@dataclass(frozen=True, slots=True)
class Compared:
    """Groups that were compared."""

    document: ComparisonDocument
    overlaid: Mapping[str, Mapping[str, Any]]

    def write(self, path: Path) -> Path:
        """Write the page of them, with the main figures open."""
        shown = shown_figures(self.document, chosen=frozenset(), is_full=False)
        keep_page(path, make_comparison_page(self.document, shown, self.overlaid))
        return path


def compared(groups: Mapping[str, Sequence[RunData]]) -> Compared:
    """Compare runs, the baseline first."""
    document = compare_groups(
        [
            RunGroup(label, [compared_run(run) for run in of])
            for label, of in groups.items()
        ]
    )
    runs = [run for of in groups.values() for run in of]
    return Compared(document, {str(run.path): overlaid_run(run) for run in runs})


def failed_over_run(
    path: Path, *, call_at_ms: int, dark_ms: int, step: str = "failover"
) -> RunData:
    """Return a run of which one scope was dark a little after its API call.

    Args:
        path: its folder, in which the seconds are written.
        call_at_ms: of the API call, from the beginning of the run.
        dark_ms: how long.
        step: name of the only step.
    """
    dark_at_ms = call_at_ms + TO_ERROR_MS
    run = planted_run(path, length_s=LENGTH_S, dark_at_ms=dark_at_ms, dark_ms=dark_ms)
    offsets = {
        Phase.API_CALL: 0,
        Phase.ACCEPTED: 20,
        Phase.FIRST_ERROR: TO_ERROR_MS,
        Phase.FIRST_SERVED: TO_ERROR_MS + dark_ms,
        Phase.SETTLED: TO_SETTLED_MS,
    }
    called_ns = START.wall_ns + call_at_ms * MS
    told = StepSummary(
        name=step,
        operation="failover",
        state=StepState.SETTLED,
        reason="",
        shards=["0002"],
        start_unix_ns=called_ns,
        end_unix_ns=called_ns + 6_000 * MS,
        phases=[
            PhaseTime(phase, called_ns + offset * MS, float(offset))
            for phase, offset in offsets.items()
        ],
        lanes=[],
        provider=[],
    )
    scenario = ScenarioSummary("failover", ScenarioState.COMPLETED, "", [told], [], 0)
    summary = msgspec.structs.replace(run.summary, scenario=scenario)
    return replace(run, summary=summary)


def failed_over(folder: Path, darkness: Mapping[str, Sequence[int]]) -> Compared:
    """Compare groups of runs that were dark so long, called at different moments."""
    return compared(
        {
            label: [
                failed_over_run(
                    folder / f"{group}-{n}", call_at_ms=2_000 + 300 * n, dark_ms=dark_ms
                )
                for n, dark_ms in enumerate(repeats)
            ]
            for group, (label, repeats) in enumerate(darkness.items())
        }
    )
