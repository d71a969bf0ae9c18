"""Logging as one JSON object per line on standard error.

Transitions are logged, never requests. Lines are made by the caller and written by a
thread of their own, so that a slow terminal or pipe never holds up the event loop.
"""

import json
import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import TextIO

FIELD_PREFIX = "lp_"
"""Attributes of a record with this prefix (``extra``) become fields, without it."""


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
        for name, value in vars(record).items():
            if name.startswith(FIELD_PREFIX):
                line[name.removeprefix(FIELD_PREFIX)] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        # json, not orjson: a log line must never fail on an odd string or number.
        return json.dumps(line, default=str, skipkeys=True)


@contextmanager
def json_logging(
    *, level: int = logging.INFO, stream: TextIO | None = None
) -> Iterator[None]:
    """Send the records of all loggers to a stream (standard error) while it is open.

    The root logger is put back as it was on exit, after all lines are written.
    """
    # The formatter sits on the queue's side: fields are read when they are logged.
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = QueueHandler(lines)
    handler.setFormatter(JsonFormatter())
    listener = QueueListener(lines, logging.StreamHandler(stream or sys.stderr))
    root = logging.getLogger()
    level_before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level_before)
        listener.stop()
