"""The verdict's words on data that was damaged, and on shards that were not meant.

Pure. What a step did to shards it was not about is its blast radius; see
docs/measuring.md.
"""

from collections.abc import Iterable

from loadprobe.clock import NS_PER_MS
from loadprobe.core.verdict.phases import BAND_NS, BAND_RATIO
from loadprobe.core.verdict.scenario_document import (
    BlastRadius,
    ScenarioSummary,
    StepSummary,
)

NOTABLE_RATIO = 3.0
NOTABLE_MS = 25.0
"""A p99 is told of in the verdict if it rose by both: some milliseconds more for a
second happen without any change. Of less only the steps and summary.json tell."""

SHOWN = 3
"""So many steps are told in the verdict; all are in summary.json."""


def data_sentences(
    *, lost_writes: int | None, stale_reads: int | None, wrong: int
) -> list[str]:
    """Say what became of the data; nothing is said of what is right or not known."""
    told = (
        (lost_writes, "acknowledged writes were lost: their keys hold an older value"),
        (stale_reads, "reads found an older value than one acknowledged before"),
        (wrong, "replies did not match what was written"),
    )
    return [f"{count:,} {what}" for count, what in told if count]


def blast_sentences(scenario: ScenarioSummary) -> list[str]:
    """Say what the steps did to the shards that they were not about."""
    about = [step for step in scenario.steps if any(_blasts(step))]
    hit = [(step, text) for step in about if (text := "; ".join(_hit(step)))]
    sentences = [
        f"{step.name} hit shards it was not about: {text}" for step, text in hit[:SHOWN]
    ]
    if len(hit) > SHOWN:
        sentences.append(
            f"{len(hit) - SHOWN} more steps hit shards they were not about: see "
            "summary.json"
        )
    spared = [step for step in about if not any(_hit(step))]
    if spared:
        what = spared[0].name if len(spared) == 1 else f"{len(spared)} steps"
        calm = ""
        if all(_is_calm(b) for s in spared for _, b in _blasts(s)):
            calm = ", and their p99 stayed in its band"
        sentences.append(f"{what}: no arrival failed on the other shards{calm}")
    return sentences


def _blasts(step: StepSummary) -> Iterable[tuple[str, BlastRadius]]:
    for lane in step.lanes:
        if lane.blast_radius is not None:
            yield lane.lane, lane.blast_radius


def _hit(step: StepSummary) -> Iterable[str]:
    """Yield, per lane, what failed and how much slower the slowest shard became."""
    for lane, blast in _blasts(step):
        parts: list[str] = []
        if blast.failed:
            shards = ", ".join(blast.shards)
            parts.append(f"{blast.failed:,} arrivals of {shards} failed")
        before, worst = blast.baseline_p99_ms, blast.worst_p99_ms
        if before is not None and worst is not None and _is_notable(before, worst):
            parts.append(
                f"p99 at worst {worst:,.2f} ms on {blast.shard} ({before:,.2f} before)"
            )
        if parts:
            yield f"on lane {lane} {', '.join(parts)}"


def _is_notable(before_ms: float, worst_ms: float) -> bool:
    return worst_ms >= max(NOTABLE_RATIO * before_ms, before_ms + NOTABLE_MS)


def _is_calm(blast: BlastRadius) -> bool:
    """Tell whether the p99 of the other shards is known to have stayed in its band."""
    before_ms, worst_ms = blast.baseline_p99_ms, blast.worst_p99_ms
    if before_ms is None or worst_ms is None:
        return False
    return worst_ms <= BAND_RATIO * before_ms + BAND_NS / NS_PER_MS
