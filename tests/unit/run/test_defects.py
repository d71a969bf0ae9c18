"""Defects of loadprobe itself: told, noted, and no end of what was measured."""

import asyncio
from pathlib import Path

import pytest

from loadprobe.errors import RunError
from loadprobe.signals import Stopping
from tests.support.supervised import Supervised, break_down


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

    reloads = run.run._reloads
    monkeypatch.setattr(reloads._reloading, "reload", fail)
    told: list[tuple[bool, str]] = []

    async def ask() -> None:
        told.extend([await reloads.take(by) for by in ("alice", "signal")])

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


async def test_a_defect_before_the_load_is_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the load begins there is nothing to write: the error comes through."""
    run = Supervised(monkeypatch, tmp_path)
    monkeypatch.setattr(run.run, "_wait_until_ready", break_down)
    with pytest.raises(ExceptionGroup) as caught:
        await run.run.run()
    assert caught.group_contains(KeyError)


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
