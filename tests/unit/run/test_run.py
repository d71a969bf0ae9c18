"""The order of a run: whatever ends it, what was measured is written and reported."""

import asyncio
import gc
import io
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Config, Control, Http, Lane, Output, Target
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.control.provider import shared
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries
from loadprobe.core.judging.results import Sealed
from loadprobe.core.steps import ScenarioRecord, ScenarioState
from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.errors import RunError
from loadprobe.outputs.remote_write import sender as remote_write
from loadprobe.outputs.remote_write.sender import RemoteWriter
from loadprobe.probe.rates import LaneRates
from loadprobe.run import changing, crew, launch
from loadprobe.run.launch import RunOptions
from loadprobe.run.plan import RunPlan
from loadprobe.run.run import Run
from loadprobe.run.service import Service
from loadprobe.signals import Stopping


class Unprobed:
    """A measurement without probe processes."""

    def __init__(self, _config: Config, **_callbacks: object) -> None:
        self.aggregate = Aggregate([LaneInfo("tcp", False, (0,), 250_000_000)])
        self.lost_writes = None
        self.written = None
        self.rates = LaneRates(())
        self.tuning = self  # nobody is tuned
        self.names = ShardNames()
        self.end_ns: int | None = None
        self.watermark_ns: dict[int, int] = {}
        self.standby = None
        self.seals = 0
        self.on_seal: Callable[[], None] = lambda: None
        self.ready = asyncio.Event()
        self.ready.set()

    def use_forwards(self) -> None:
        """Do nothing: there is nobody to tell."""

    def spawn(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start what never ends by itself."""

        async def probe() -> None:
            await asyncio.Event().wait()

        return [group.create_task(probe())]

    async def wait_until_ready(self) -> None:
        """Wait for the test."""
        await self.ready.wait()

    def tell(self, listeners: object) -> None:
        """Have nothing to tell."""

    def prepare(self) -> None:
        """Have no lanes that sleep."""

    def begin(self) -> int:
        """Begin now."""
        now_ns = mono_now_ns()
        self.aggregate.start_process(0, now_ns)
        return now_ns

    def seal(self) -> Sealed:
        """Count, and do what the test wants."""
        self.seals += 1
        self.on_seal()
        return self.aggregate.seal()

    async def end(
        self,
        probing: list[asyncio.Task[None]],
        *,
        meanwhile: Callable[[], object],
        closed: Sequence[str],
        read_back_s: float,
    ) -> int:
        """End at once."""
        self.end_ns = mono_now_ns()
        for task in probing:
            task.cancel()
        meanwhile()
        return self.end_ns

    def kill(self) -> None:
        """Nothing runs."""


class Supervised:
    """A run without probes, and what it printed."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        folder: Path,
        *companions: Callable[[], Coroutine[None, None, None]],
        duration_s: float | None = 0.3,
        remote_write: RemoteWrite | None = None,
    ) -> None:
        monkeypatch.setattr(crew, "Measurement", Unprobed)
        self._folder = folder
        self._text = io.StringIO()
        config = Config(
            target=Target(host="127.0.0.1"),
            lanes=(Lane(name="tcp"),),
            http=Http(listen=""),
            output=Output(dir=str(folder)),
            remote_write=remote_write,
        )
        console = Console(file=self._text, width=160)
        self.stopping = Stopping()
        plan = RunPlan(config, duration_s=duration_s)
        self.run = Run(plan, None, console, self.stopping, Service())
        start = self.run._crew.watching

        def watching() -> list[Coroutine[None, None, None]]:
            for coroutine in start():  # the watch would ask a real target
                coroutine.close()
            return [make() for make in companions]

        monkeypatch.setattr(self.run._crew, "watching", watching)
        measurement: Any = self.run._crew.measurement
        assert isinstance(measurement, Unprobed)
        self.measurement = measurement

    @property
    def text(self) -> str:
        """Return what was printed."""
        return self._text.getvalue()

    def document(self, name: str) -> dict[str, Any]:
        """Return a document of the run folder."""
        (path,) = self._folder.glob(f"*/{name}")
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document


async def break_down() -> None:
    """Meet what nobody thought of."""
    raise KeyError("no such thing")


async def test_a_defect_beside_the_load_is_noted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unexpected error of a companion is a problem; measuring goes on."""
    run = Supervised(monkeypatch, tmp_path, break_down)
    assert await run.run.run() == 1
    assert run.measurement.end_ns is not None
    (problem,) = run.document("run.json")["problems"]
    assert "KeyError: 'no such thing'" in problem
    assert "PROBLEM" in run.text
    assert run.document("summary.json")


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


class Knot:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.own = self


def keep_sample(run: Supervised) -> None:
    """Have one sample to send with every seal."""
    batch = MsSamples(MsSeries(MsKind.BLIND, ("tcp",)))
    batch.add(1, 1)
    log = run.run._crew.published.samples._log
    run.measurement.on_seal = lambda: log.add([batch], until_ms=2)


async def test_collections_pass_over_what_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While a run lasts, no garbage collection looks at what was made before it."""
    run = Supervised(monkeypatch, tmp_path)
    frozen: list[int] = []
    run.measurement.on_seal = lambda: frozen.append(gc.get_freeze_count())
    assert await run.run.run() == 0
    assert min(frozen) > 10_000
    assert gc.get_freeze_count() == 0


async def test_what_refers_to_itself_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Lost connections do not stay until Python happens to look at all there is."""
    run = Supervised(monkeypatch, tmp_path)
    left: list[int] = []
    begin = run.measurement.begin

    def begin_with_knots() -> int:
        for _ in range(1_000):
            Knot()
        return begin()

    def count_knots() -> None:
        left.append(sum(isinstance(each, Knot) for each in gc.get_objects()))

    monkeypatch.setattr(run.measurement, "begin", begin_with_knots)
    run.measurement.on_seal = count_knots
    gc.disable()
    try:
        assert await run.run.run() == 0
    finally:
        gc.enable()
    assert left[0] == 0


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


async def test_a_defect_of_the_run_is_reported_with_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unexpected error once the load has begun ends it with all files written."""
    run = Supervised(monkeypatch, tmp_path, duration_s=None)

    def fail() -> None:
        if run.measurement.seals == 2:
            raise ZeroDivisionError("by nothing")

    run.measurement.on_seal = fail
    assert await run.run.run() == 1
    (problem,) = run.document("run.json")["problems"]
    assert "ZeroDivisionError: by nothing" in problem
    assert "ZeroDivisionError: by nothing" in run.text
    assert run.document("summary.json")
    assert run.document("run.json")["end"] is not None


async def test_a_defect_is_not_hidden_by_what_else_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A probe fails in the moment in which the supervisor breaks: both are told."""
    run = Supervised(monkeypatch, tmp_path, duration_s=None)
    breaks = asyncio.Event()

    def spawn(group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        async def fail(error: Exception) -> None:
            await breaks.wait()
            raise error

        errors = (RunError("the probe"), KeyError("one"), KeyError("two"))
        return [group.create_task(fail(error)) for error in errors]

    monkeypatch.setattr(run.measurement, "spawn", spawn)
    run.measurement.on_seal = breaks.set
    assert await run.run.run() == 1
    problems = run.document("run.json")["problems"]
    assert len(problems) == 3
    assert "a defect of loadprobe" in problems[0]
    told = " ".join(problems)
    assert all(word in told for word in ("the probe", "'one'", "'two'"))


async def test_what_only_the_loop_knows_is_a_problem_of_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback, or a task that nobody waits for, breaks: told once, exit code 1."""
    run = Supervised(monkeypatch, tmp_path)
    loop = asyncio.get_running_loop()

    def break_down_soon() -> None:
        for _ in range(3):
            loop.call_soon(int, "no number")

    run.measurement.on_seal = break_down_soon
    assert await run.run.run() == 1
    (problem,) = run.document("run.json")["problems"]
    assert "the event loop met an error it has no name for" in problem
    assert "no number" in problem
    assert "PROBLEM" in run.text
    assert "unexpected_error" in caplog.text


async def test_a_defect_in_a_reload_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever asks is told, the run goes on, and can be asked again."""
    run = Supervised(monkeypatch, tmp_path)

    async def fail(*, by: str) -> None:
        raise KeyError(by)

    monkeypatch.setattr(run.run._reloading, "reload", fail)
    told: list[tuple[bool, str]] = []

    async def ask() -> None:
        told.extend([await run.run._reload(by) for by in ("alice", "signal")])

    monkeypatch.setattr(run.run._crew, "watching", lambda: [ask()])
    assert await run.run.run() == 1
    assert [is_done for is_done, _ in told] == [False, False]
    problems = run.document("run.json")["problems"]
    assert problems == [text for _, text in told]
    assert "a reload met an error it has no name for" in problems[0]


async def test_what_a_transport_meets_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The network did it; who holds the connection is told, and the log."""
    run = Supervised(monkeypatch, tmp_path)
    loop = asyncio.get_running_loop()
    context = {
        "message": "Fatal read error on socket transport",
        "transport": object(),
        "exception": OSError(113, "No route to host"),
    }
    run.measurement.on_seal = lambda: loop.call_exception_handler(context)
    assert await run.run.run() == 0
    assert run.document("run.json")["problems"] == []
    assert "Fatal read error" in caplog.text


async def test_a_defect_before_the_load_is_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the load begins there is nothing to write: the error comes through."""
    run = Supervised(monkeypatch, tmp_path)
    monkeypatch.setattr(run.run, "_wait_until_ready", break_down)
    with pytest.raises(ExceptionGroup) as caught:
        await run.run.run()
    assert caught.group_contains(KeyError)


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


async def test_a_defect_that_meets_a_signal_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody waits for it any more; what failed for the signal is not worth a word."""
    for error, is_told in ((KeyError("lost"), True), (RunError("given up"), False)):
        stopping = Stopping()

        async def work(stopping: Stopping = stopping, error: Exception = error) -> int:
            stopping.event.set()
            raise error

        assert await stopping.unless_set(work()) is None
        assert (str(error) in caplog.text) is is_told


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


async def test_a_tls_connection_that_is_lost_is_no_matter_of_the_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Uvloop reports it beside the one who holds it; anything else is logged."""
    run = Supervised(monkeypatch, tmp_path)
    assert await run.run.run() == 0
    report = asyncio.get_running_loop().call_exception_handler
    lost = RuntimeError("unable to perform operation on <x>; the handler is closed")
    report({"message": "Fatal error on SSL", "protocol": object(), "exception": lost})
    assert not caplog.records
    report({"message": "something else", "exception": ValueError("x")})
    assert [record.getMessage() for record in caplog.records] == ["unexpected_error"]
