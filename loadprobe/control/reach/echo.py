"""An echo at the other end of a tunnel: asked twenty times a second, on its connection.

It is ``cat``, run where the tunnel leads. Who may not run a program there has no echo:
then stalls are not told from the cluster, and that is all that is missing.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.reach.heartbeat import PERIOD_NS, Heartbeat, Stall
from loadprobe.control.reach.ssh import SshConnection

_PROGRAM = "cat"
_PERIOD_S = PERIOD_NS / NS_PER_S
_TURNS = 5
_FIRST_S = 60.0
"""What a login runs at first may take long."""
_AGAIN_S = 5.0
_READ_BYTES = 4096

logger = logging.getLogger(__name__)


class Echo:
    """Asks the other end of a connection whether it is there (see the module).

    Args:
        connection: the connection; it is open while this runs.
        on_silent: called with the time since when it does not answer, when that is
            known.
        on_answer: called with a stall that is over.
    """

    def __init__(
        self,
        connection: SshConnection,
        *,
        on_silent: Callable[[int], None],
        on_answer: Callable[[Stall], None],
    ) -> None:
        self._connection = connection
        self._on_silent = on_silent
        self._on_answer = on_answer
        self._beat = Heartbeat()
        self._problem = ""

    @property
    def heard_ns(self) -> int | None:
        """Return when it answered last, monotonic; None if it never did."""
        return self._beat.heard_ns

    @property
    def is_silent(self) -> bool:
        """Tell whether it does not answer now, and should."""
        return self._beat.stalled_ns is not None

    async def run(self) -> None:
        """Ask until cancelled, or until there is no echo to be had."""
        while True:
            await self._ask()
            if self.heard_ns is None:
                reason = self._problem or "its program cannot be run there"
                logger.info("tunnel_without_echo", extra={"lp_reason": reason})
                return
            ended_ns = mono_now_ns()
            await asyncio.sleep(_AGAIN_S)  # it is cancelled if all of the tunnel ended
            if self._beat.stalled_ns is not None:
                self._on_answer(Stall(self._beat.stalled_ns, ended_ns))

    async def _ask(self) -> None:
        """Ask for as long as there is an echo."""
        self._beat, self._problem = Heartbeat(), ""
        try:
            process = await self._connection.run(_PROGRAM)
        except OSError as exc:  # this machine has no room for another process
            self._problem = str(exc)
            return
        reading = asyncio.create_task(self._read(process))
        try:
            await self._question(process, reading)
        finally:
            reading.cancel()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await asyncio.wait({reading})

    async def _question(
        self, process: asyncio.subprocess.Process, reading: "asyncio.Task[None]"
    ) -> None:
        assert process.stdin is not None
        beat = self._beat
        give_up_ns = mono_now_ns() + int(_FIRST_S * NS_PER_S)
        while not (reading.done() or process.stdin.is_closing()):
            if beat.heard_ns is not None or beat.is_new:
                process.stdin.write(b"%d\n" % beat.ask(mono_now_ns()))
            await asyncio.sleep(_PERIOD_S)
            if beat.look(await _all_read()) and beat.stalled_ns is not None:
                self._on_silent(beat.stalled_ns)
            if beat.heard_ns is None and mono_now_ns() >= give_up_ns:
                self._problem = f"no answer within {_FIRST_S:g} s"
                return

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hear the answers; return when there are no more, or they are something else.

        One who logs in may be greeted, or sent to another program.
        """
        assert process.stdout is not None
        rest = b""
        while data := await process.stdout.read(_READ_BYTES):
            now_ns = mono_now_ns()
            *lines, rest = (rest + data).split(b"\n")
            try:
                stalls = [self._beat.hear(int(line), now_ns) for line in lines]
                if len(rest) > _READ_BYTES:
                    raise ValueError("a line without an end")
            except ValueError:
                self._problem = "something else answers there"
                return
            for stall in stalls:
                if stall is not None:
                    self._on_answer(stall)


async def _all_read() -> int:
    """Return a time, monotonic ns, such that all that had come by then was read.

    A loop that was busy has not looked at its sockets, and its timers may be first. It
    looks at them once in every turn; who reads is woken in the next.
    """
    begun_ns = mono_now_ns()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    return begun_ns
