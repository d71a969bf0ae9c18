"""What the verdict says of damaged data and of shards that were not meant."""

import pytest

from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.core.verdict.damage_words import SHOWN, blast_sentences, data_sentences
from loadprobe.core.verdict.quantities import Bounds, DowntimeMs
from loadprobe.core.verdict.scenario_document import (
    BlastRadius,
    ScenarioSummary,
    StepLane,
    StepSummary,
)

ZERO = Bounds(0.0, 0.0, 0.0)
NONE_DARK = DowntimeMs(ZERO, ZERO, {})


def step(name: str, blast: BlastRadius | None) -> StepSummary:
    """Return a step as one lane saw it."""
    lane = StepLane("tcp", [], NONE_DARK, NONE_DARK, False, None, blast)
    return StepSummary(
        name, "failover", StepState.SETTLED, "", ["0001"], 0, 1, [], [lane], []
    )


def said(*steps: StepSummary) -> list[str]:
    """Return what is said of these steps."""
    return blast_sentences(
        ScenarioSummary("s", ScenarioState.COMPLETED, "", list(steps), [], 0)
    )


def blast(failed: int, before_ms: float | None, worst_ms: float | None) -> BlastRadius:
    """Return what became of two other shards."""
    shard = None if before_ms is None else "0003"
    return BlastRadius(["0002", "0003"], failed, shard, before_ms, worst_ms)


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (
            blast(1_200, 1.0, 2.5),
            (
                "f hit shards it was not about: on lane tcp 1,200 arrivals of 0002, "
                "0003 failed"
            ),
        ),
        (
            blast(0, 10.0, 35.0),
            (
                "f hit shards it was not about: on lane tcp p99 at worst 35.00 ms on "
                "0003 (10.00 before)"
            ),
        ),
        (blast(0, 6.6, 13.4), "f: no arrival failed on the other shards"),
        (blast(0, 1.0, 24.0), "f: no arrival failed on the other shards"),
        (blast(0, 40.0, 90.0), "f: no arrival failed on the other shards"),
        (
            blast(0, 1.0, 2.5),
            (
                "f: no arrival failed on the other shards, and their p99 stayed in its "
                "band"
            ),
        ),
        (
            blast(7, 1.0, 90.0),
            (
                "f hit shards it was not about: on lane tcp 7 arrivals of 0002, 0003 "
                "failed, p99 at worst 90.00 ms on 0003 (1.00 before)"
            ),
        ),
        (blast(0, None, None), "f: no arrival failed on the other shards"),
    ],
)
def test_a_step(seen: BlastRadius, sentence: str) -> None:
    """Failures are told, and a p99 that rose so much that somebody would notice."""
    assert said(step("f", seen)) == [sentence]


def test_steps_about_all_shards() -> None:
    """There are no other shards then, and nothing is said."""
    assert said(step("f", None)) == []


def test_many_steps() -> None:
    """The first ones are told one by one, and those that spared the others together."""
    hit = [step(f"f{n}", blast(n + 1, None, None)) for n in range(SHOWN + 2)]
    calm = [step(f"c{n}", blast(0, 1.0, 1.0)) for n in range(4)]
    sentences = said(*calm, *hit)
    assert [text.split()[0] for text in sentences[:SHOWN]] == ["f0", "f1", "f2"]
    assert sentences[SHOWN:] == [
        "2 more steps hit shards they were not about: see summary.json",
        (
            "4 steps: no arrival failed on the other shards, and their p99 stayed in "
            "its band"
        ),
    ]


def test_data() -> None:
    """What is damaged is told; what is whole, or not known, is not."""
    assert data_sentences(lost_writes=None, stale_reads=0, wrong=0) == []
    assert data_sentences(lost_writes=1_500, stale_reads=2, wrong=3) == [
        "1,500 acknowledged writes were lost: their keys hold an older value",
        "2 reads found an older value than one acknowledged before",
        "3 replies did not match what was written",
    ]
