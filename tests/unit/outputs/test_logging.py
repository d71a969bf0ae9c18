"""JSON log lines."""

import io
import json
import logging

from loadprobe.outputs.logging import JsonFormatter, json_logging


def make_record(**attributes: object) -> logging.LogRecord:
    """Return a record with the given extra attributes."""
    record = logging.LogRecord(
        "loadprobe.x", logging.WARNING, "x.py", 1, "disk %s", ("full",), None
    )
    for name, value in attributes.items():
        setattr(record, name, value)
    return record


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


def test_stream() -> None:
    """All lines are on the stream on exit, errors with their traceback on one line."""
    stream = io.StringIO()
    logger = logging.getLogger("loadprobe.test")
    root_before = (logging.getLogger().level, list(logging.getLogger().handlers))
    with json_logging(stream=stream):
        try:
            int("broken")
        except ValueError:
            logger.exception("probe crashed", extra={"lp_process": 3})
        logger.debug("not shown")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 1
    assert lines[0]["process"] == 3
    assert "ValueError: invalid literal" in lines[0]["error"]
    assert root_before == (
        logging.getLogger().level,
        list(logging.getLogger().handlers),
    )
