"""A program of a step runs without a shell, and nothing of it is left behind."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadprobe.control.programs.program import LONGEST_LINE, MOST_LINES
from loadprobe.control.provider.secret import Secret
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.exec_step import run_command
from loadprobe.control.scenario.keys import ExecStep
from loadprobe.control.scenario.observing import Observing
from loadprobe.core.events import Event, ExecEnded, ExecLine
from loadprobe.errors import ControlError
from loadprobe.liveness import start_ticks
from tests.support.scenario_stage import Stage


async def run(
    *command: str, timeout_s: float = 30.0, secrets: tuple[str, ...] = ()
) -> list[Event]:
    """Run a program as the step "x"; return its events."""
    events: list[Event] = []
    await run_command(
        command,
        step="x",
        emit=events.append,
        timeout_s=timeout_s,
        secrets=[Secret(secret) for secret in secrets],
    )
    return events


def printed(events: list[Event]) -> list[ExecLine]:
    """Return the lines that were printed."""
    return [event for event in events if isinstance(event, ExecLine)]


def python(source: str) -> tuple[str, ...]:
    """Return the command that runs a text of Python."""
    return (sys.executable, "-c", source)


async def gone(pid_file: Path) -> bool:
    """Wait until the process whose pid is in a file has ended."""
    pid = int(pid_file.read_text())
    async with asyncio.timeout(10):
        while start_ticks(pid) is not None:
            await asyncio.sleep(0.01)
    return True


async def test_output_and_exit_code_are_recorded() -> None:
    """Lines are told by stream, then the exit code with the number of lines."""
    events = await run(
        *python("import os; os.write(1, b'a\\nb'); os.write(2, b'c\\n')")
    )
    lines = [(e.step, e.stream, e.line) for e in printed(events)]
    assert sorted(lines) == [
        ("x", "stderr", "c"),
        ("x", "stdout", "a"),
        ("x", "stdout", "b"),
    ]
    end = events[-1]
    assert end == ExecEnded(end.mono_ns, "x", exit_code=0, lines=3, kept=3)


async def test_no_shell_is_involved() -> None:
    """What means something to a shell is an argument like any other."""
    events = await run(*python("import sys; print(sys.argv[1])"), "$HOME; `id` *")
    assert printed(events)[0].line == "$HOME; `id` *"


async def test_output_is_bounded() -> None:
    """A flood of lines, and a line without an end, are cut but read to the end."""
    flood = f"for i in range({MOST_LINES + 500}): print(i)"
    events = await run(*python(flood))
    assert len(events) == MOST_LINES + 1
    assert isinstance(events[-1], ExecEnded)
    assert events[-1].lines == MOST_LINES + 500
    (line, _) = await run(*python("print('x' * 3_000_000, end='')"))
    assert isinstance(line, ExecLine)
    assert line.line == "x" * LONGEST_LINE


async def test_secrets_are_masked() -> None:
    """A secret is in no line, no message and no command that is shown."""
    secret = "hunter2hunter2"
    events = await run(*python("print('token: hunter2hunter2!')"), secrets=(secret,))
    assert printed(events)[0].line == "token: ****!"
    with pytest.raises(ControlError) as caught:
        await run(*python(f"print('{secret}'); raise SystemExit(3)"), secrets=(secret,))
    assert secret not in str(caught.value)
    assert str(caught.value).endswith("ended with exit code 3; its last line: ****")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("false",), "step x: 'false' ended with exit code 1"),
        (("sh", "-c", "kill -9 $$"), "step x: 'sh -c kill -9 $$' ended with signal 9"),
        (
            ("loadprobe-no-such-program",),
            (
                "step x: 'loadprobe-no-such-program' could not be started: "
                "No such file or directory; give a program and its arguments as a "
                "list, without shell syntax"
            ),
        ),
    ],
)
async def test_a_program_that_fails(command: tuple[str, ...], message: str) -> None:
    """The error tells how it ended, or why it did not begin."""
    with pytest.raises(ControlError) as caught:
        await run(*command)
    assert str(caught.value) == message


async def test_the_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    """Neither the program nor its child survives the timeout."""
    script = (
        f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/leader; wait"
    )
    with pytest.raises(ControlError, match="ran longer than 1 s and was killed"):
        await run("sh", "-c", script, timeout_s=1.0)
    assert await gone(tmp_path / "child")
    assert await gone(tmp_path / "leader")


async def test_cancellation_kills_the_whole_group(tmp_path: Path) -> None:
    """A run that ends takes the program with it."""
    script = f"sleep 600 & echo $! > {tmp_path}/child; echo up > {tmp_path}/up; wait"
    task = asyncio.create_task(run("sh", "-c", script))
    async with asyncio.timeout(30):
        while not (tmp_path / "up").exists():
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(tmp_path / "child")


async def test_cancellation_during_the_start_kills_the_whole_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may have started others before its own start is known here."""
    start = asyncio.create_subprocess_exec

    async def start_slowly(*command: str, **more: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **more)
        async with asyncio.timeout(30):
            while not (tmp_path / "up").exists():
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.05)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_slowly)
    script = f"sleep 600 & echo $! > {tmp_path}/child; echo up > {tmp_path}/up; wait"
    task = asyncio.create_task(run("sh", "-c", script))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(tmp_path / "child")


async def test_a_child_left_behind_is_neither_waited_for_nor_kept(
    tmp_path: Path,
) -> None:
    """A program is over when it has ended, whatever it started in the background."""
    script = f"sleep 600 & echo $! > {tmp_path}/child; echo done"
    events = await run("sh", "-c", script)
    assert printed(events)[0].line == "done"
    assert await gone(tmp_path / "child")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_program_ends_with_who_started_it(tmp_path: Path, loop: str) -> None:
    """Whoever runs it may be killed, and cannot end it then."""
    pid_file = tmp_path / "pid"
    program = (
        "import os, pathlib, signal, sys, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "path = pathlib.Path(sys.argv[1]); "
        "path.with_suffix('.new').write_text(str(os.getpid())); "
        "path.with_suffix('.new').rename(path); time.sleep(60)"
    )
    command = [*python(program), str(pid_file)]
    starter = (
        f"import asyncio, {loop}; "
        "from loadprobe.control.scenario.exec_step import run_command; "
        f"run = run_command({command!r}, step='x', emit=print, timeout_s=60); "
        f"asyncio.Runner(loop_factory={loop}.new_event_loop).run(run)"
    )
    process = subprocess.Popen(python(starter))  # noqa: ASYNC220 - it begins at once
    async with asyncio.timeout(20):
        while not pid_file.exists():
            assert process.poll() is None
            await asyncio.sleep(0.01)
    process.kill()
    process.wait()
    assert await gone(pid_file)


def test_a_program_inherits_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Variables that the configuration names are not for it; those of the SDK are."""
    monkeypatch.setenv("OUR_PASSWORD", "s3cret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    script = f"echo $OUR_PASSWORD-$AWS_SECRET_ACCESS_KEY > {tmp_path}/told"
    around = replace(
        Stage(monkeypatch).around(),
        withheld=frozenset({"OUR_PASSWORD", "AWS_SECRET_ACCESS_KEY"}),
    )
    it = Observing(around, Brake())
    step = ExecStep(operation="exec", command=("sh", "-c", script))
    asyncio.run(it.take(step, name="x", secrets=()))
    assert (tmp_path / "told").read_text() == "-key\n"
