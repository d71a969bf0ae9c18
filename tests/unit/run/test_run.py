"""The order of a run: whatever ends it, what was measured is written and reported."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from loadprobe.config.keys import Config, Control, Lane, Output, Target
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.control.provider import shared
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries
from loadprobe.core.steps import ScenarioRecord, ScenarioState
from loadprobe.outputs.remote_write import sender as remote_write
from loadprobe.outputs.remote_write.sender import RemoteWriter
from loadprobe.run import changing, launch
from loadprobe.run.launch import RunOptions
from tests.support.supervised import Supervised, break_down


async def test_a_junit_file_that_cannot_be_written_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The report is shown all the same, and ends as ever; the exit code tells CI."""
    run = Supervised(monkeypatch, tmp_path)
    nowhere = tmp_path / "nowhere" / "junit.xml"
    crew = run.run._crew
    crew.plan = replace(crew.plan, junit=nowhere)
    assert await run.run.run() == 1
    assert "PROBLEM  --junit: cannot write" in run.text
    assert run.text.splitlines()[-1].startswith("Page: ")


def keep_sample(run: Supervised) -> None:
    """Have one sample to send with every seal."""
    batch = MsSamples(MsSeries(MsKind.BLIND, ("tcp",)))
    batch.add(1, 1)
    log = run.run._crew.published.samples._log
    run.measurement.on_seal = lambda: log.add([batch], until_ms=2)


async def test_a_receiver_that_is_away_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The run ends as it would; only then is the rest tried, for a limited time."""
    monkeypatch.setattr(remote_write, "FLUSH_S", 0.2)
    remote = RemoteWrite("http://127.0.0.1:1/")
    run = Supervised(monkeypatch, tmp_path, remote_write=remote)
    keep_sample(run)
    assert await run.run.run() == 0
    assert run.document("run.json")["problems"] == []
    assert run.document("run.json")["config"]["remote_write"]["url"] == remote.url
    values = run.run._crew.published.metrics.snapshot().values
    assert values["remote_write_samples_dropped_total"]["ended",] >= 1


async def test_a_defect_in_sending_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unexpected error while samples are sent leaves all files written; code 1."""
    monkeypatch.setattr(RemoteWriter, "_deliver", lambda _self: break_down())
    remote = RemoteWrite("http://127.0.0.1:1/")
    run = Supervised(monkeypatch, tmp_path, remote_write=remote)
    keep_sample(run)
    assert await run.run.run() == 1
    assert run.document("summary.json")
    assert "PROBLEM  sending the last samples met an error" in run.text


async def test_a_watch_that_was_aborted_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is left to wait for: no length was given, and there are no steps."""
    supervised = Supervised(monkeypatch, tmp_path, duration_s=None)

    async def abort(_: Scenario, _around: Surroundings, **more: Any) -> None:
        record = ScenarioRecord("w", ScenarioState.ABORTED, reason="an outage")
        more["on_record"](record)

    run: Any = supervised.run
    works = run._crew
    works.api = SimpleNamespace(offset_ns=None)
    config = msgspec.structs.replace(works.plan.config, control=Control("rg"))
    works.plan = replace(works.plan, config=config, scenario=Scenario("w", "watch"))
    monkeypatch.setattr(changing, "run_scenario", abort)
    async with asyncio.timeout(20):
        assert await supervised.run.run() == 1
    assert supervised.document("run.json")["problems"] == []
    assert supervised.document("summary.json")["scenario"]["state"] == "aborted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_before_the_probes_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    """While the API does not answer, a signal ends the run at once with code 0."""

    @asynccontextmanager
    async def never(_control: object, **_more: object) -> AsyncIterator[None]:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(shared, "open_api", never)
    config = Config(
        target=Target(host="127.0.0.1"),
        lanes=(Lane(name="tcp"),),
        control=Control(replication_group="group"),
        output=Output(dir=str(tmp_path)),
    )
    text = io.StringIO()
    console = Console(file=text, width=160)
    async with asyncio.timeout(10):
        assert await launch.run_load(config, RunOptions(), console=console) == 0
    assert text.getvalue() == "stopped before the load began; nothing was measured\n"
    assert list(tmp_path.iterdir()) == []


async def test_a_signal_while_connecting_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the load begins, a signal ends the probes and says what there is."""
    run = Supervised(monkeypatch, tmp_path)
    run.measurement.ready.clear()
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        with run.stopping.caught():
            assert await run.run.run() == 0
    assert "stopped before the load began; nothing was measured" in run.text
    assert list(tmp_path.iterdir()) == []
