"""Log lines on standard error: one configuration for all that runs for a while.

JSON, an object a line, where standard error is no terminal (a pipe, a file, journald);
short lines in the time of the live view (UTC) where it is one. Transitions are logged,
never requests.

A run tells what happens on standard output, and keeps it in its folder. So it logs from
``warning`` on unless it is asked for more, on a terminal or not: what goes wrong beside
the measuring. At ``info`` the transitions come a second time, for whoever collects them
as JSON; under systemd both outputs end in one journal.

Lines are made by the caller and written by a thread of their own, so that a slow
terminal or pipe never holds up the event loop. Libraries are logged from ``warning`` on
whatever is asked for: at ``debug`` botocore logs requests with the passwords in them.
"""

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Literal, TextIO

from loadprobe.harmless import CONTROLS

FIELD_PREFIX = "lp_"
"""Attributes of a record with this prefix (``extra``) become fields, without it."""

OURS = "loadprobe"
"""The logger above all of ours."""

Level = Literal["debug", "info", "warning", "error"]

_PATIENCE_S = 2.0


class JsonFormatter(logging.Formatter):
    """Formats a record as {"at", "level", "logger", "event", fields..., "error"}."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON; values JSON does not know are shown by ``str``."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= fields_of(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        # json, not orjson: a log line must never fail on an odd string or number.
        return json.dumps(line, default=str, skipkeys=True)


class LineFormatter(logging.Formatter):
    """Formats a record for people: time, level, logger: event, name=value...

    What would steer a terminal is shown as Python would write it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and under it the traceback if there is one."""
        at = datetime.fromtimestamp(record.created, UTC)
        words = [
            f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}",
            record.levelname.lower(),
            f"{record.name.removeprefix(f'{OURS}.')}:",
            record.getMessage(),
        ]
        fields = fields_of(record).items()
        words += [f"{name}={_shown(value)}" for name, value in fields]
        lines = [" ".join(words)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).split("\n")
        text = "\n  ".join(line.translate(CONTROLS) for line in lines)
        return text.encode(errors="backslashreplace").decode()


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record."""
    return {
        name.removeprefix(FIELD_PREFIX): value
        for name, value in vars(record).items()
        if name.startswith(FIELD_PREFIX)
    }


def _shown(value: object) -> str:
    text = str(value)
    is_word = text and not any(letter in text for letter in ' "=')
    return text if is_word else json.dumps(text, ensure_ascii=False)


@contextmanager
def logging_to_stderr(level: Level = "warning") -> Iterator[None]:
    """Write the records of all loggers to standard error while the block lasts.

    Loggers are put back as they were on exit, after all lines are written; a reader
    that takes none is waited for two seconds.

    Args:
        level: from which on our own are written.
    """
    # The formatter sits on the queue's side: fields are read when they are logged.
    lines: queue.SimpleQueue[_Line] = queue.SimpleQueue()
    writer = _Writer(lines, sys.stderr)
    handler = QueueHandler(lines)
    handler.setFormatter(LineFormatter() if writer.is_terminal else JsonFormatter())
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before = root.level, ours.level
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(number, logging.WARNING))
    ours.setLevel(number)
    root.addHandler(handler)
    writer.start()
    _writers.append(writer)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])
        is_written = writer.write_out(_PATIENCE_S)
        _writers.remove(writer)
        if is_written:
            writer.stop()


def write_out(within_s: float) -> None:
    """Wait until what was logged is written, but not for longer (any thread)."""
    for writer in _writers.copy():
        writer.write_out(within_s)


def log_again(line: bytes, **fields: object) -> bool:
    """Log a line of ``JsonFormatter`` that another process of ours wrote.

    Args:
        line: from its standard error.
        fields: to add.

    Returns:
        False if it is no such line, or a library's.
    """
    try:
        told = json.loads(line)
        name, event, level = told.pop("logger"), told.pop("event"), told.pop("level")
        told.pop("at")  # the way here takes no time worth mentioning
        number = logging.getLevelNamesMapping()[level.upper()]
        is_ours = name.partition(".")[0] == OURS
    except (ValueError, TypeError, AttributeError, KeyError):
        return False
    if not is_ours:
        return False
    extra = {f"{FIELD_PREFIX}{key}": value for key, value in (told | fields).items()}
    logging.getLogger(name).log(number, "%s", event, extra=extra)
    return True


class _Writer(QueueListener):
    """Has lines written by a thread; where nobody takes them, they are lost, no more.

    They go past Python's buffer, whose lock a reader that takes nothing would hold for
    ever, and whose rest fails the process if the reader is gone. But a live view on a
    terminal has something in the place of ``sys.stderr`` that writes above the view.
    """

    def __init__(
        self, lines: "queue.SimpleQueue[_Line]", stream: TextIO | None
    ) -> None:
        # No handlers: they have locks, which the interpreter waits for at its end.
        super().__init__(lines)
        self.is_terminal = stream is not None and stream.isatty()
        self._stream = stream
        self._descriptor: int | None = None
        if stream is not None:
            with suppress(OSError):  # it is no file
                self._descriptor = stream.fileno()

    def handle(self, record: "_Line") -> None:
        """Write a record, or tell that all before it are written."""
        if isinstance(record, threading.Event):
            record.set()
            return
        with suppress(OSError, ValueError):  # closed
            self._write(f"{record.getMessage()}\n")

    def _write(self, line: str) -> None:
        stream = sys.stderr if self.is_terminal else self._stream
        if stream is self._stream and self._descriptor is not None:
            left = line.encode(errors="backslashreplace")
            while left:
                left = left[os.write(self._descriptor, left) :]
        elif stream is not None:
            stream.write(line)
            stream.flush()

    def write_out(self, within_s: float) -> bool:
        """Wait until all that was logged is written; tell whether it is."""
        written = threading.Event()
        self.queue.put_nowait(written)
        return written.wait(within_s)


_Line = logging.LogRecord | threading.Event

_writers: list[_Writer] = []
