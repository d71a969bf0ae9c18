"""The page that a run leaves at its end, and that of one without an end."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from loadprobe.outputs.folder.documents import OUTAGES, PAGE, SUMMARY
from loadprobe.outputs.page.page import write_page
from loadprobe.run.aftermath import load_any_run
from tests.support.recorded import MS, Recorded


def document(page: Path) -> dict[str, Any]:
    """Return what a page shows."""
    found = re.search(r'id="document">(.*?)</script>', page.read_text())
    assert found is not None
    told: dict[str, Any] = json.loads(found[1])
    return told


def test_a_run_of_three_seconds_leaves_a_page(tmp_path: Path) -> None:
    """It has the verdict of the folder, and is for its owner alone."""
    run = Recorded(tmp_path)
    run.measure(3000 * MS)
    assert run.conclude() == []
    page = run.folder.path / PAGE
    told = document(page)
    assert page.stat().st_mode & 0o777 == 0o600
    assert told["summary"] == json.loads((run.folder.path / SUMMARY).read_bytes())
    assert (
        told["outages"]
        == json.loads((run.folder.path / OUTAGES).read_bytes())["outages"]
    )
    assert told["missing"] == []
    assert sum(told["course"]["counts"][0]["refused"]) == 60


def test_segments_are_one_page(tmp_path: Path) -> None:
    """Seconds and film of six segments are those of one."""
    pages = []
    for name, turns in ("one", ()), ("six", range(500 * MS, 3000 * MS, 500 * MS)):
        run = Recorded(tmp_path / name, turns=turns)
        run.measure(3000 * MS)
        run.conclude()
        pages.append(document(run.folder.path / PAGE))
    one, six = pages
    assert six["course"] == one["course"]
    assert six["stretches"] == one["stretches"]
    assert six["film"]["rows"] == one["film"]["rows"]


def test_a_page_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    """The run tells it, and all the rest is there."""
    run = Recorded(tmp_path)
    run.measure(1000 * MS)
    (run.folder.path / PAGE).mkdir()
    (problem,) = run.conclude()
    assert problem.startswith("the page of the run cannot be written: ")
    assert load_any_run(run.folder.path).summary.state == "clean"


def test_a_killed_run_has_a_page_of_what_was_judged(tmp_path: Path) -> None:
    """It says up to when, and shows the outage that was open."""
    run = Recorded(tmp_path / "runs")
    run.measure(2000 * MS)
    killed = Path(shutil.copytree(run.folder.path, tmp_path / "killed"))
    run.folder.close()
    told = document(write_page(load_any_run(killed)))
    assert told["summary"]["state"] == "interrupted"
    assert told["outages"][0]["open_end"]
    assert told["length_ms"] > 1500
