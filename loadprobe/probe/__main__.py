"""A probe process as a program: frames come by standard input, and go by output.

The end of standard input (the supervisor is gone) ends it, and so does a frame that
cannot be read. Stopped or stuck it does not outlive the supervisor either: the kernel
ends it then.
"""

import asyncio
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress

import uvloop

from loadprobe.drivers.errors import is_defect
from loadprobe.errors import ProbeCrashed, UsageError
from loadprobe.liveness import bind_life_to_parent
from loadprobe.logs import logging_to_stderr
from loadprobe.probe.frames import (
    HEADER_BYTES,
    decode_to_probe,
    encode_frame,
    frame_length,
)
from loadprobe.probe.messages import (
    FromProbe,
    ProbeFailed,
)
from loadprobe.probe.orders import (
    Plan,
    ToProbe,
    UseForwards,
)
from loadprobe.probe.process import ProbeProcess
from loadprobe.signals import NUMBERS


async def _read_commands(
    reader: asyncio.StreamReader,
    commands: "asyncio.Queue[ToProbe | None]",
    serving: list[ProbeProcess],
) -> None:
    """Pass commands on; None is the end of standard input."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            header = await reader.readexactly(HEADER_BYTES)
            payload = await reader.readexactly(frame_length(header))
            command = decode_to_probe(payload)
            if isinstance(command, UseForwards):
                for process in serving:  # who connects reads no commands
                    process.use_forwards(command.forwards)
            else:
                commands.put_nowait(command)
    commands.put_nowait(None)


async def _serve(read_fd: int, write_fd: int) -> int:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb")
    )
    closed = loop.create_future()

    class Output(asyncio.BaseProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            if not closed.done():
                closed.set_result(exc)

    output, _ = await loop.connect_write_pipe(Output, os.fdopen(write_fd, "wb"))
    crash = _first_crash(loop)

    def send(message: FromProbe) -> None:
        output.write(encode_frame(message))

    commands: asyncio.Queue[ToProbe | None] = asyncio.Queue()
    serving: list[ProbeProcess] = []
    reading = asyncio.create_task(_read_commands(reader, commands, serving))
    reading.add_done_callback(
        lambda done: _end_reading(done, crash, None if serving else commands)
    )
    plan = await commands.get()
    code = 0
    if isinstance(plan, Plan):
        try:
            serving.append(process := ProbeProcess(plan, send))
            working = asyncio.create_task(process.run(commands))
            await asyncio.wait(
                {working, crash, closed}, return_when=asyncio.FIRST_COMPLETED
            )
            if crash.done():
                working.cancel()
                await asyncio.wait({working})
                crash.result()
            elif closed.done():
                working.cancel()
                await asyncio.wait({working})
            else:
                working.result()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is reported
            failed = _failure(plan.process, exc)
            send(failed)
            code = UsageError.exit_code if failed.preflight else 1
    reading.cancel()
    output.close()
    if not closed.done():
        await closed
    return code


def _first_crash(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
    """Return what has the first error that the event loop reports."""
    crash: asyncio.Future[None] = loop.create_future()

    def on_crash(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        exc = context.get("exception")
        if is_defect(context) and not crash.done():
            crash.set_exception(
                exc
                if isinstance(exc, Exception)
                else ProbeCrashed(str(context.get("message")))
            )

    loop.set_exception_handler(on_crash)
    return crash


def _end_reading(
    done: "asyncio.Task[None]",
    crash: "asyncio.Future[None]",
    commands: "asyncio.Queue[ToProbe | None] | None",
) -> None:
    """Take the end of what reads commands: nothing that is understood will follow.

    Args:
        done: it.
        crash: has its error.
        commands: where a plan is waited for; None once there is one.
    """
    if done.cancelled() or (error := done.exception()) is None:
        return
    if commands is not None:
        commands.put_nowait(None)
    elif not crash.done():
        crash.set_exception(error)


def _failure(process: int, exc: Exception) -> ProbeFailed:
    """Return what is told of an error: the target's doing only if all of it is."""
    causes = list(_causes(exc))
    if all(isinstance(cause, UsageError) for cause in causes):
        return ProbeFailed(process, True, str(causes[0]))
    return ProbeFailed(process, False, "".join(traceback.format_exception(exc)))


def _causes(exc: BaseException) -> Iterator[BaseException]:
    if not isinstance(exc, BaseExceptionGroup):
        yield exc
        return
    for each in exc.exceptions:
        yield from _causes(each)


def main() -> int:
    """Run a probe process on standard input and output; return its exit code.

    Signals to end are for the supervisor, which drains us: a process manager that
    signals all processes of a service must not end us first.
    """
    parent = int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid()
    bind_life_to_parent(parent, signal.SIGKILL)
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    read_fd, write_fd = os.dup(0), os.dup(1)
    # Nothing else may write into the stream of frames.
    os.dup2(2, 1)
    os.set_inheritable(read_fd, False)
    os.set_inheritable(write_fd, False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        logging_to_stderr(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_serve(read_fd, write_fd))


if __name__ == "__main__":
    sys.exit(main())
