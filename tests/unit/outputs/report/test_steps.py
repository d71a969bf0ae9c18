"""The report of a run with a scenario."""

from pathlib import Path

import msgspec
import orjson
import pytest

from loadprobe.core.steps import Expectation, ScenarioRecord, ScenarioState
from loadprobe.core.verdict.summary import Summary
from loadprobe.outputs.report.report import render_json
from loadprobe.outputs.report.steps import expectation_line
from loadprobe.outputs.wording import span_text
from tests.support.reports import GOLDEN, as_text
from tests.support.scenario_run import (
    Story,
    aborted,
    phases_of,
    reported,
    step,
    tls_migration,
)

STORIES = {"tls_migration": tls_migration, "aborted": aborted}


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("width", [80, 100])
def test_golden(name: str, width: int) -> None:
    """The report reads exactly as the kept text, which a person has looked at."""
    path = GOLDEN / f"report_{name}_{width}.txt"
    text = as_text(reported(STORIES[name]()), width=width)
    assert path.read_text() == text
    assert max(map(len, text.splitlines())) <= width


def test_the_headline_has_all_that_matters() -> None:
    """The worst comes first; a scenario that ended early is in it, with its reason."""
    text = as_text(reported(aborted()), width=200)
    lines = text.splitlines()
    assert lines[1] == (
        "Verdict: outage - 1 incident: shard 0003, lane tcp; scenario scale-out-in was "
        "aborted; missed: lane tcp is dark by plan, no outage on lane tcp but planned "
        "ones"
    )
    assert "- the scenario scale-out-in was aborted: an outage of 3000 ms" in text


def test_summary_survives_json() -> None:
    """A scenario in summary.json can be read back into the same values."""
    run = reported(tls_migration())
    assert run.summary.scenario is not None
    plain = orjson.loads(render_json(run))["summary"]
    assert plain["scenario"]["steps"][3]["state"] == "settled"
    assert plain["scenario"]["expectations"][2]["is_met"] is True
    assert msgspec.convert(plain, Summary) == run.summary


def test_provider_tells_once() -> None:
    """What a provider says twice of the same moment is told once, as first seen."""
    scenario = reported(tls_migration()).summary.scenario
    assert scenario is not None
    told = [(m.offset_ms, m.message[:8]) for m in scenario.steps[1].provider]
    assert told == [(100.0, "Test Fai"), (3000.0, "Failover")]
    assert scenario.steps[1].provider[1].seen_unix_ns % 1_000_000_000 == 700_000_000


def test_foreign_text_in_a_step() -> None:
    """Control characters of a provider's refusal or a call change nothing."""
    failed = step("f", "scale", api_call=10_000, reason="no\x1b[2J\nmore")
    record = ScenarioRecord("s", ScenarioState.FAILED, (failed,), failed.reason)
    text = as_text(
        reported(Story(record, events=phases_of(failed, "x\x07y"))), width=80
    )
    assert "no [2J more" in text
    assert "x y" in text
    assert "\x1b" not in text


def test_expectations_are_worded() -> None:
    """Passed, failed, and not to be told have three different words."""
    words = [
        expectation_line(Expectation("no lost writes", is_met, detail)).plain
        for is_met, detail in ((True, "0"), (False, "7 lost writes"), (None, ""))
    ]
    assert words == [
        "pass  no lost writes (0)",
        "FAIL  no lost writes (7 lost writes)",
        "open  no lost writes",
    ]


def test_spans() -> None:
    """Offsets are in ms, from ten seconds on in s."""
    assert [span_text(ms) for ms in (0, -0.5, 9_999.9, 10_000, 754_321)] == [
        "+0.0 ms",
        "-0.5 ms",
        "+9,999.9 ms",
        "+10.000 s",
        "+754.321 s",
    ]


def test_runs_without_a_scenario_say_nothing_of_one() -> None:
    """Neither steps nor planned darkness appear where there were none."""
    for name in ("report.txt", "report_clean.txt", "report_narrow.txt"):
        text = (Path(GOLDEN) / name).read_text()
        assert "planned" not in text
        assert "Expectations" not in text
