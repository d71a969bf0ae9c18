"""Log lines: JSON or for people, with their fields, all of them, and no secrets."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from loadprobe.cli import app as cli
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.local import __main__ as local_main
from loadprobe.local.serve import LocalOptions
from loadprobe.logs import (
    JsonFormatter,
    Level,
    LineFormatter,
    log_again,
    logging_to_stderr,
)
from loadprobe.probe.fleet import read_stderr
from loadprobe.run import preflight

logger = logging.getLogger("loadprobe.test")


class Terminal(io.StringIO):
    """What a terminal was sent."""

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True


def make_record(**attributes: object) -> logging.LogRecord:
    """Return a record with the given extra attributes."""
    record = logging.LogRecord(
        "loadprobe.x", logging.WARNING, "x.py", 1, "disk %s", ("full",), None
    )
    for name, value in attributes.items():
        setattr(record, name, value)
    return record


def fail(what: str) -> None:
    """Log an error with its traceback."""
    try:
        int("broken")
    except ValueError:
        logger.exception(what, extra={"lp_process": 3})


def told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines on standard error, which is no terminal."""
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_fields() -> None:
    """Prefixed extras become fields; time, level, logger and event are there."""
    line = json.loads(JsonFormatter().format(make_record(lp_shard="0002", other=1)))
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "loadprobe.x",
        "event": "disk full",
        "shard": "0002",
    }


def test_odd_values() -> None:
    """Values that JSON does not know never lose a line or break it in two."""
    text = JsonFormatter().format(
        make_record(lp_a=b"\xff", lp_b="\ud800\n", lp_c=1 << 80, lp_d={1, 2})
    )
    assert "\n" not in text
    assert json.loads(text)["c"] == 1 << 80


def test_a_line_for_people() -> None:
    """It has the time of day, the fields, and quotes where words would run together."""
    text = LineFormatter().format(
        make_record(created=0.25, lp_shard="0002", lp_n=None, lp_why="no room", lp_x="")
    )
    assert text == (
        '00:00:00.250 warning x: disk full shard=0002 n=None why="no room" x=""'
    )


def test_a_terminal_is_not_steered() -> None:
    """Control characters and broken Unicode are shown, not sent."""
    record = make_record(lp_a="\x1b[2J\r\n\u2028", lp_b="\x9b2J", lp_c="\ud800")
    record.msg = "a\x1bc\n%s"
    text = LineFormatter().format(record)
    assert text.isprintable()
    assert r"a\x1bc\nfull" in text


def test_stream(capfd: pytest.CaptureFixture[str]) -> None:
    """All lines are there on exit, errors with their traceback on one line."""
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.getLogger("loadprobe").level
    with logging_to_stderr("info"):
        fail("probe crashed")
        logger.debug("not shown")
        logger.info("shown")
    line, last = told(capfd)
    assert line["process"] == 3
    assert "ValueError: invalid literal" in line["error"]
    assert last["event"] == "shown"
    assert before == (
        root.level,
        list(root.handlers),
        logging.getLogger("loadprobe").level,
    )


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """People get lines; while a live view stands in for the terminal, it gets them."""
    terminal, view = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with logging_to_stderr():
        fail("before")
        monkeypatch.setattr(sys, "stderr", view)
        # The lines before were written by now or go to the view, as they would.
        fail("meanwhile")
    lines = (terminal.getvalue() + view.getvalue()).splitlines()
    assert lines[0].endswith(" error test: before process=3")
    assert lines[1].startswith("  Traceback")
    assert "meanwhile" in view.getvalue()


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(
    level: Level, events: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Ours are written from the level that was asked for on."""
    with logging_to_stderr(level):
        for each in ("debug", "info", "warning", "error"):
            getattr(logger, each)(each)
    assert [line["event"] for line in told(capfd)] == events


def test_requests_of_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    """At no level do libraries log requests, in which there may be a password."""
    library = logging.getLogger("botocore.endpoint")
    with logging_to_stderr("debug"):
        library.debug("Making request with params: AuthToken=secret")
        library.info("also")
        library.warning("retried")
    (line,) = told(capfd)
    assert (line["logger"], line["event"]) == ("botocore.endpoint", "retried")


def run_program(program: str, *, read: bool = True) -> tuple[int, list[dict[str, Any]]]:
    """Run a program; return its exit code and what it logged, if that is read."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        text = process.stderr.read() if read else b""
        return process.wait(30), [json.loads(line) for line in text.splitlines()]


def test_a_hard_end() -> None:
    """What is logged until the process is gone is written, whatever the loop does."""
    code, lines = run_program("""
import asyncio, logging, os, signal, time
from loadprobe.logs import logging_to_stderr
from loadprobe.signals import Stopping

async def main():
    stopping = Stopping()
    stopping.before_exit = lambda: [
        logging.getLogger("loadprobe").warning("line", extra={"lp_number": number})
        for number in range(500)
    ]
    with stopping.caught():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)  # the loop hangs

with logging_to_stderr():
    asyncio.run(main())
""")
    assert code == 130
    assert [line["number"] for line in lines] == list(range(500))


def test_a_reader_that_takes_nothing() -> None:
    """A full pipe holds up nobody, and the end of the process for two seconds."""
    began_ns = mono_now_ns()
    code, _ = run_program(
        """
import logging
from loadprobe.logs import logging_to_stderr
with logging_to_stderr():
    for _ in range(300):
        logging.getLogger("loadprobe").warning("x" * 1000)
""",
        read=False,
    )
    assert code == 0
    assert mono_now_ns() - began_ns < 10 * NS_PER_S


def test_a_reader_that_is_gone() -> None:
    """Lines that nobody takes any more are no error."""
    code, _ = run_program(
        """
import logging, os
from loadprobe.logs import logging_to_stderr
with logging_to_stderr():
    os.close(2)
    logging.getLogger("loadprobe").warning("x")
""",
        read=False,
    )
    assert code == 0


def test_lines_of_another_process(capfd: pytest.CaptureFixture[str]) -> None:
    """What a probe logs is logged here again, and says of which one it is."""
    record = make_record(lp_shard="0002")
    with logging_to_stderr():
        assert log_again(JsonFormatter().format(record).encode() + b"\n", process=3)
    (line,) = told(capfd)
    assert line.pop("at")
    assert line == {
        "level": "warning",
        "logger": "loadprobe.x",
        "event": "disk full",
        "shard": "0002",
        "process": 3,
    }


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Traceback (most recent call last):\n",
        b"{",
        b"[1]",
        b'{"logger": "loadprobe"}',
        b'{"at": "", "level": "loud", "logger": "loadprobe", "event": "x"}',
        b'{"at": "", "level": "info", "logger": 1, "event": "x"}',
        b'{"at": "", "level": "error", "logger": "redis", "event": "x"}',
        b"\xff\xfe",
    ],
)
def test_other_lines_of_another_process(line: bytes) -> None:
    """Nothing else is taken for a line of ours."""
    assert not log_again(line)


async def test_standard_error_of_a_probe(caplog: pytest.LogCaptureFixture) -> None:
    """Lines of log are logged; the rest is kept, however long a line is."""
    stderr = asyncio.StreamReader(limit=1000)
    stderr.feed_data(b"x" * 5000 + b"\n")
    stderr.feed_data(JsonFormatter().format(make_record()).encode() + b"\n")
    stderr.feed_data(b"Killed\n")
    stderr.feed_eof()
    tail: deque[str] = deque(maxlen=3)
    await read_stderr(stderr, 1, tail)
    assert tail[-1] == "Killed"
    (record,) = caplog.records
    assert record.getMessage() == "disk full"
    assert vars(record)["lp_process"] == 1


CONFIG = '[target]\nhost = "h"\n[[lanes]]\nname = "a"\n'


def test_log_level_of_a_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A command logs from --log-level on, or warnings, and fields are in them."""

    async def checking(*_: object, **__: object) -> Any:
        logger.info("begun", extra={"lp_n": 1})
        logger.warning("odd", extra={"lp_n": 2})
        return
        yield

    monkeypatch.setattr(preflight, "preflight", checking)
    path = tmp_path / "run.toml"
    path.write_text(CONFIG)
    events = {}
    for options in ([], ["--log-level", "info"]):
        monkeypatch.setattr(sys, "argv", ["loadprobe", "check", str(path), *options])
        with pytest.raises(SystemExit):
            cli.main()
        lines = told(capfd)
        events[len(options)] = [(line["event"], line["n"]) for line in lines]
    assert events == {0: [("odd", 2)], 2: [("begun", 1), ("odd", 2)]}


@pytest.mark.parametrize("command", ["run x", "demo", "check x", "local up"])
def test_an_unknown_level(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that takes its time has the option; the levels are told."""
    words = [*command.split(), "--log-level", "loud"]
    monkeypatch.setattr(
        sys, "argv", ["loadprobe", *words, *["x"] * (" " not in command)]
    )
    with pytest.raises(SystemExit):
        cli.main()
    err = capsys.readouterr().err
    assert "'loud' is not one of 'debug', 'info', 'warning', 'error'" in err


def test_the_local_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A local cluster's process logs transitions, with their fields."""

    async def serving(options: LocalOptions, **_: object) -> None:
        logger.info("failed", extra={"lp_group": options.name})

    monkeypatch.setattr(local_main, "serve", serving)
    stdin = io.TextIOWrapper(io.BytesIO(b'{"name": "mine"}'))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert local_main.main() == 0
    (line,) = told(capfd)
    assert (line["event"], line["group"]) == ("failed", "mine")
