"""What a run was judged by, for CI servers."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from loadprobe.core.verdict.summary import SloResult
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.reader import RunData
from loadprobe.run.junit import write_junit
from tests.support.reports import make_run
from tests.support.scenario_run import aborted, reported, tls_migration


def cases(run: RunData, folder: Path) -> dict[str, str]:
    """Return the cases that are written, with the texts of those that failed."""
    path = folder / "junit.xml"
    write_junit(path, run)
    suite = ET.parse(path).getroot()
    found = {
        each.attrib["name"]: each.findtext("failure", default="")
        for each in suite.iter("testcase")
    }
    assert suite.attrib["name"] == run.info.name
    assert int(suite.attrib["tests"]) == len(found)
    assert int(suite.attrib["failures"]) == sum(map(bool, found.values()))
    return found


def test_thresholds_and_problems(tmp_path: Path) -> None:
    """A limit that was missed and a problem of the run are failures."""
    run = make_run()
    met = SloResult("availability", 0.9, 0.99, is_met=True)
    void = SloResult("p99_ms", 1.0, None, is_met=False)
    summary = msgspec.structs.replace(run.summary, slo=[*run.summary.slo, met, void])
    assert cases(replace(run, summary=summary), tmp_path) == {
        "the run": "writing series.ndjson failed once",
        "max_outage_ms": "2104, the limit is 1000",
        "availability": "",
        "p99_ms": "no value, the limit is 1",
    }


def test_a_scenario(tmp_path: Path) -> None:
    """How it ended is a case, and so is all that it expects."""
    well = cases(reported(tls_migration()), tmp_path)
    assert set(well.values()) == {""}
    assert set(well) == {
        "the run",
        "scenario tls-migration",
        "no lost writes",
        "no wrong replies",
        "lane tcp is dark by plan",
    }
    badly = cases(reported(aborted()), tmp_path)
    assert badly["scenario scale-out-in"].startswith("it was aborted: an outage of")
    assert badly["lane tcp is dark by plan"].startswith("still served at the end")


@pytest.mark.parametrize("state", ["invalid", "interrupted", "running"])
def test_what_cannot_be_judged_has_failed(state: str, tmp_path: Path) -> None:
    """A run of which too little is known passes for nothing."""
    run = reported(tls_migration())
    summary = msgspec.structs.replace(run.summary, state=state, headline="cut short")
    assert cases(replace(run, summary=summary), tmp_path)["the run"] == "cut short"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It is named, with the reason."""
    with pytest.raises(UsageError, match="--junit: cannot write .*No such file"):
        write_junit(tmp_path / "nowhere" / "junit.xml", make_run())
