"""``python -m loadprobe.local``: options as JSON on stdin, one JSON line on stdout.

The line is a ``LocalState`` when everything is ready, or ``{"failed": ...}``. It runs
until SIGTERM or SIGINT, or until its parent dies if ``die_with_parent`` was asked for.
"""

import asyncio
import os
import signal
import sys

import msgspec
import uvloop

from loadprobe.errors import LoadprobeError, UsageError
from loadprobe.local.background import StartFailure
from loadprobe.local.cluster.processes import bind_life_to_parent
from loadprobe.local.serve import LocalOptions, serve
from loadprobe.logs import logging_to_stderr


def main() -> int:
    """Run, and return the exit code."""
    parent_pid = os.getppid()
    try:
        options = _read_options()
        if options.die_with_parent:
            bind_life_to_parent(parent_pid, signal.SIGTERM)
        with (
            logging_to_stderr(options.log_level),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(serve(options, announce=_write_line))
    except LoadprobeError as exc:
        _write_line(StartFailure(kind=type(exc).__name__, text=str(exc)))
        return exc.exit_code
    return 0


def _read_options() -> LocalOptions:
    try:
        return msgspec.json.decode(sys.stdin.buffer.read(), type=LocalOptions)
    except msgspec.DecodeError as exc:
        raise UsageError(f"reading the options (JSON) from stdin: {exc}") from exc


def _write_line(answer: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
