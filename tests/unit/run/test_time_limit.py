"""Work that may be left undone does not hold up the end of a run."""

import re
import signal
import threading
import time
from pathlib import Path

import pytest

from loadprobe.config.keys import Lane, Probe
from loadprobe.outputs.folder import documents, syncing
from loadprobe.outputs.folder.incident_folder import IncidentRecord, read_record
from loadprobe.outputs.folder.reader import load_run
from loadprobe.outputs.webhooks import sender
from loadprobe.run import incident_keeping, load, recording, reporting
from loadprobe.run.incident_keeping import write_folders
from loadprobe.run.time_limit import OutOfTime, time_limit
from tests.support.paths import ROOT
from tests.support.recorded import Recorded, S


def hang() -> None:
    """Go on for ever, and take whatever comes for an error of one's own."""
    while True:
        try:
            time.sleep(3600)
        except Exception:  # noqa: BLE001 - see above
            continue


def test_what_takes_too_long_is_broken_off() -> None:
    """Nothing that handles errors keeps it going, and the alarm is as it was."""
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(OutOfTime), time_limit(0.01):
        hang()
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_does_not_is_let_be() -> None:
    """Nothing comes later; in another thread there is no limit, and no error."""
    done: list[str] = []

    def work(name: str) -> None:
        with time_limit(60.0):
            done.append(name)

    work("here")
    thread = threading.Thread(target=work, args=("there",))
    thread.start()
    thread.join()
    assert done == ["here", "there"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_report_that_takes_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends all the same, with its verdict, and says how to get the report."""
    recorded = Recorded(tmp_path)
    recorded.measure(4 * S)
    monkeypatch.setattr(reporting, "SHOWING_S", 0.05)
    monkeypatch.setattr(reporting, "write_page", lambda _run: hang())
    said: list[str] = []
    monkeypatch.setattr(recorded.recording._reporting, "say", said.append)
    recorded.conclude()
    [text] = said
    assert text.startswith("Not all of the report was made within 0.05 s; loadprobe")
    assert f"report {recorded.folder.path} --html" in text
    run = load_run(recorded.folder.path)
    assert run.summary.incidents
    assert not (run.path / documents.PAGE).exists()


def test_no_time_for_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time for the folders of incidents the verdict is there, and says all."""
    recorded = Recorded(tmp_path)
    recorded.measure(4 * S)
    monkeypatch.setattr(recording, "_FOLDERS_S", 0.0)
    said: list[str] = []
    monkeypatch.setattr(recorded.recording._reporting, "say", said.append)
    recorded.conclude()
    run = load_run(recorded.folder.path)
    assert len(run.summary.incidents) == 1
    assert not list((run.path / "incidents").glob("2*"))
    assert said[0].startswith("For the folders of 1 incidents there was no time")


def test_what_has_no_folder_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If time is short, a folder is made rather than another said anew."""
    recorded = Recorded(tmp_path)
    recorded.measure(4 * S)
    recorded.conclude()
    path = recorded.folder.path
    [known] = (path / "incidents").iterdir()
    record = read_record(known)
    assert record is not None
    later = record.end_unix_ns + 3600 * S
    new = IncidentRecord(
        run=record.run, start_unix_ns=later, end_unix_ns=later, clock=record.clock
    )
    times = iter([0, 0, 2 * S])
    monkeypatch.setattr(incident_keeping, "mono_now_ns", lambda: next(times))
    left = write_folders(path, [record, new], within_s=1.0)
    assert left.startswith("For the folders of 1 incidents there was no time")
    assert len(list((path / "incidents").iterdir())) == 2


def test_the_end_takes_less_than_a_service_manager_grants() -> None:
    """All limits of an end together are within what our deployments allow for it."""
    lane = Lane(name="tcp")
    deciding_s = (lane.deadline_ms + Probe().settle_ms) / 1_000
    judging_s = 10.0  # of all outages that are kept, in a slow moment
    most_s = sum(
        (
            deciding_s + load.LAST_READ_BACK_S + load._GONE_S,
            judging_s,
            recording._FOLDERS_S,
            syncing._STOP_S,
            reporting.SHOWING_S,
            sender.FLUSH_S,
        )
    )
    deploy = ROOT / "deploy"
    for name, key in (
        ("loadprobe.service", "TimeoutStopSec="),
        ("compose.yaml", "stop_grace_period: "),
        ("kubernetes.yaml", "terminationGracePeriodSeconds: "),
        ("helm/loadprobe/templates/workload.yaml", "terminationGracePeriodSeconds: "),
    ):
        found = re.search(rf"{key}(\d+)", (deploy / name).read_text())
        assert found is not None, name
        assert int(found[1]) >= most_s, name
