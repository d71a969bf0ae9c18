"""A copy under way: real processes that are run, watched and ended."""

import asyncio
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from loadprobe.control.programs.copying import Copying, _CopyProcess
from loadprobe.control.programs.course import CopyCourse
from loadprobe.control.programs.ends import DataEnd
from loadprobe.control.programs.program import OutputJournal
from loadprobe.control.programs.tools import ToolRun, redis_shake, riot
from loadprobe.control.provider.secret import Secret
from loadprobe.core.events import Event, ExecLine, StepProblem
from loadprobe.errors import ControlError


def copying(runs: Sequence[ToolRun], events: list[Event]) -> Copying:
    """Return a copy by these processes."""
    course = CopyCourse(stall_s=60.0, most_lag_bytes=1_000)
    return Copying("copy", runs, course, events.append, secrets=[Secret("hidden")])


def shell(script: str, **more: object) -> ToolRun:
    """Return a shell script as a tool."""
    return ToolRun(("sh", "-c", script), **more)  # type: ignore[arg-type]


async def until_done(it: Copying) -> None:
    """Wait until a copy is done, or of no use."""
    async with asyncio.timeout(10):
        while not it.is_done and not it.failure:
            await asyncio.sleep(0.01)


async def test_a_tool_that_ends() -> None:
    """It is done when all of it has ended well; what it said is in the journal."""
    events: list[Event] = []
    it = copying([shell("echo said by $NAME hidden", env={"NAME": "it"})] * 2, events)
    await it.begin()
    await until_done(it)
    assert not it.follows
    await it.end()
    said = [event.line for event in events if isinstance(event, ExecLine)]
    assert said == ["said by it ****"] * 2
    assert not [event for event in events if isinstance(event, StepProblem)]


@pytest.mark.parametrize("password", ["pass word", 'pa"ss', "pass\\word", "100%"])
async def test_a_tool_that_shows_what_it_was_told(password: str) -> None:
    """A password is masked in the form in which the tool has it, too."""
    events: list[Event] = []
    end = DataEnd("h", 6379, password=Secret(password))
    told = {
        **riot("sh", end, end, live=False, caught_up="").files,
        **redis_shake("sh", end, end, status_port=1).files,
    }
    course = CopyCourse(stall_s=60.0, most_lag_bytes=1_000)
    runs = [
        ToolRun(("cat", f"{{{name}}}"), files={name: text})
        for name, text in told.items()
    ]
    secrets = [Secret(password)]
    it = Copying("copy", runs, course, events.append, secrets=secrets)
    await it.begin()
    await until_done(it)
    await it.end()
    said = [event.line for event in events if isinstance(event, ExecLine)]
    assert said.count('"redis://:****@h:6379"') == 2
    assert said.count('password = "****"') == 2


async def test_a_tool_that_goes_on(tmp_path: Path) -> None:
    """A line says that it follows; it is ended politely, with all it has started."""
    events: list[Event] = []
    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit 0' TERM; echo idle now; sleep 60 & wait"
    it = copying([shell(script, caught_up="^idle")], events)
    await it.begin()
    await until_done(it)
    assert it.follows
    assert not it.knows_lag
    await it.end()
    assert ended.exists()
    assert not [event for event in events if isinstance(event, StepProblem)]


@pytest.mark.parametrize(
    ("script", "caught_up", "how"),
    [
        ("echo no room; exit 4", "", "exit code 4; its last line: no room"),
        ("kill -9 $$", "", "signal 9"),
        ("echo idle", "idle", "exit code 0; its last line: idle"),
    ],
)
async def test_a_tool_that_dies(script: str, caught_up: str, how: str) -> None:
    """It is told at once; one that should go on may not end, even if it ends well."""
    events: list[Event] = []
    it = copying([shell(script, caught_up=caught_up)], events)
    await it.begin()
    async with asyncio.timeout(10):
        while not it.failure:
            await asyncio.sleep(0.01)
    await it.end()
    assert it.failure == f"'sh', which copies, ended with {how}"
    assert [e.text for e in events if isinstance(e, StepProblem)] == [it.failure]


async def test_files_are_for_us_alone(tmp_path: Path) -> None:
    """They may hold secrets; they are gone when the copy has ended."""
    told = tmp_path / "told"
    run = ToolRun(
        ("sh", "-c", f"cat $1 > {told}; echo $1 >> {told}; sleep 60", "sh", "{conf}"),
        files={"conf": "in {folder}\n"},
        caught_up="never",
    )
    it = copying([run], [])
    await it.begin()
    async with asyncio.timeout(10):
        while not told.exists() or len(told.read_text().splitlines()) < 2:
            await asyncio.sleep(0.01)
    text, name = told.read_text().splitlines()
    path = Path(name)
    assert text == f"in {path.parent}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await it.end()
    assert not path.parent.exists()


async def test_what_it_asks_for() -> None:
    """A password is given by standard input, as to a person."""
    events: list[Event] = []
    it = copying([shell("read word; test $word = hidden", asks=b"hidden\n")], events)
    await it.begin()
    await until_done(it)
    assert it.failure == ""
    await it.end()


async def test_a_program_that_is_not_there() -> None:
    """It is said which; nothing is left."""
    it = copying([shell("sleep 60"), ToolRun(("/nowhere/tool",))], [])
    with pytest.raises(ControlError, match="'/nowhere/tool' could not be started"):
        await it.begin()
    await it.end()


async def test_riot_by_a_stub(tmp_path: Path) -> None:
    """The argument file is where its command line says; a line says that it follows."""
    stub = tmp_path / "riot"
    stub.write_text('#!/bin/sh\ncat "${1#@}"; echo "scan done, live"; sleep 60\n')
    stub.chmod(0o755)
    end = DataEnd("db", 6379, password=Secret("hidden"))
    events: list[Event] = []
    it = copying([riot(str(stub), end, end, live=True, caught_up="live$")], events)
    await it.begin()
    await until_done(it)
    assert it.follows
    await it.end()
    said = [event.line for event in events if isinstance(event, ExecLine)]
    assert said == [
        '"replicate"',
        '"redis://:****@db:6379"',
        '"redis://:****@db:6379"',
        '"--mode"',
        '"live"',
        "scan done, live",
    ]


async def test_a_tool_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it see what is withheld of our environment, but all the rest."""
    monkeypatch.setenv("OUR_SECRET", "s3cret")
    monkeypatch.setenv("OUR_OTHER", "other")
    events: list[Event] = []
    course = CopyCourse(stall_s=60.0, most_lag_bytes=1_000)
    run = shell("echo $OUR_SECRET $OUR_OTHER $MINE", env={"MINE": "mine"})
    it = Copying("copy", [run], course, events.append, withheld={"OUR_SECRET"})
    await it.begin()
    await until_done(it)
    await it.end()
    said = [event.line for event in events if isinstance(event, ExecLine)]
    assert said == ["other mine"]


async def test_a_status_page_without_end_is_none() -> None:
    """Anybody on this machine may have taken the port."""
    sent = 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionError, RuntimeError):
            while sent < 100_000_000:
                writer.write(b"x" * 100_000)
                sent += 100_000
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    it = copying([], [])
    each = _CopyProcess(shell("", status_port=port), OutputJournal("", print, ()))
    async with aiohttp.ClientSession() as session:
        await it._ask(each, session)
    server.close()
    assert each.status is None
    assert sent < 20_000_000


async def test_a_defect_while_a_copy_goes_on_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends with the copy: nothing of it runs on, and nobody takes it for a stall."""
    it = copying([shell("sleep 60")], [])

    def break_down(*_: object) -> list[str]:
        raise KeyError("ours")

    monkeypatch.setattr(it.course, "take", break_down)
    await it.begin()
    assert it._watching is not None
    async with asyncio.timeout(10):
        await asyncio.wait({it._watching})
    with pytest.raises(KeyError, match="ours"):
        await it.end()
    assert it.is_over
