"""The connection of ``ssh`` that a tunnel is made of, and what it is told.

The system's ``ssh`` is used, and not a library: it reads the configuration, the agent,
the known hosts and the proxy commands of who runs it, and what goes through it costs
this process nothing. One connection is its own master (``ControlMaster``); forwards are
added and removed on its control socket while it is open.

No secret is among its arguments, nothing it opens listens beyond loopback, and whether
a host key is accepted is what its configuration says (``StrictHostKeyChecking``).
"""

import asyncio
import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from loadprobe.config.keys import Tunnel
from loadprobe.errors import NotThereYet, PreflightError
from loadprobe.liveness import bind_life_to_parent

_PROGRAM = "ssh"
_OURS = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ControlPersist=no",
    "ForkAfterAuthentication=no",
    "GatewayPorts=no",
    "LogLevel=INFO",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
)
_IF_NOT_GIVEN = ("ConnectTimeout=10", "ServerAliveCountMax=3", "ServerAliveInterval=1")
"""A connection that is silent is given up after four seconds."""
_SESSION = (
    *("-T", "-o", "ControlMaster=no", "-o", "BatchMode=yes"),
    *("-o", "ProxyCommand=false"),  # without the connection there is no way of its own
)
OPEN_S = 30.0
_CONTROL_S = 10.0
_POLL_S = 0.01
_KEPT_LINES = 6
_LONGEST_LINE = 500
_MOST_TOLD = 100
_REFUSED = ("prohibited", "Name or service not known", "name resolution")
"""In what ssh says of a forward if the other end is to blame, and not the node."""


class SshConnection:
    """One connection, and its control socket.

    Args:
        tunnel: where to.
        on_refused: takes what the other end has against a forward, once for each text.
        withheld: environment variables that ssh, and what it starts, do not inherit.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        on_refused: Callable[[str], None],
        *,
        withheld: Collection[str] = (),
    ) -> None:
        self._tunnel = tunnel
        self._env = {k: v for k, v in os.environ.items() if k not in withheld}
        self._on_refused = on_refused
        self._folder = Path(tempfile.mkdtemp(prefix="lp-ssh-"))
        self._socket = self._folder / "s"
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._told: set[str] = set()

    @property
    def pid(self) -> int | None:
        """Return the process, None before the first one."""
        return self._process.pid if self._process is not None else None

    @property
    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def reason(self) -> str:
        """Return the last that ssh said, in one line."""
        return " / ".join(self._said) or "it said nothing"

    async def open(self) -> None:
        """Open it; on return forwards can be added.

        Raises:
            NotThereYet: it cannot be opened now.
            PreflightError: there is no ssh.
        """
        self._socket.unlink(missing_ok=True)
        self._said.clear()
        self._told.clear()
        options = (*_OURS, *self._tunnel.options, *_IF_NOT_GIVEN)
        words = [word for option in options for word in ("-o", option)]
        parent = os.getpid()
        try:
            process = await asyncio.create_subprocess_exec(
                *(_PROGRAM, "-N", "-M", "-S", str(self._socket), *words),
                self._tunnel.ssh,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=self._env,
                start_new_session=True,  # Ctrl-C is for us: we end it when all is read
                preexec_fn=lambda: bind_life_to_parent(parent, signal.SIGTERM),
            )
        except FileNotFoundError as exc:
            raise PreflightError(
                "target.tunnel needs the program ssh, and there is none on PATH; "
                "install it, for example with 'apt-get install openssh-client'"
            ) from exc
        self._process = process
        self._reading = asyncio.create_task(self._read(process))
        try:
            async with asyncio.timeout(OPEN_S):
                while not await self._is_open(process):
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self._end()
            raise self._failure(f"no connection after {OPEN_S:g} s") from None
        except BaseException:
            await self._end()
            raise

    async def _is_open(self, process: asyncio.subprocess.Process) -> bool:
        if process.returncode is not None:
            await self._end()
            raise self._failure(f"exit code {process.returncode}")
        if not self._socket.exists():
            return False
        return not await self._control("check")

    def _failure(self, how: str) -> NotThereYet:
        return NotThereYet(
            f"the tunnel to {self._tunnel.ssh} cannot be opened ({how}): "
            f"{self.reason}; 'ssh {self._tunnel.ssh}' has to work here without a "
            "question"
        )

    async def wait(self) -> None:
        """Wait until it has ended by itself."""
        assert self._process is not None, "it was opened"
        assert self._reading is not None, "it was opened"
        await self._process.wait()
        await asyncio.wait({self._reading}, timeout=1.0)  # what it said last

    async def forward(self, forwards: Sequence[str]) -> str | None:
        """Add forwards, each as ``-L`` takes it; return what stands against them."""
        return await self._control("forward", forwards)

    async def cancel(self, forwards: Sequence[str]) -> None:
        """Remove forwards; connections that are open through them stay."""
        await self._control("cancel", forwards)

    async def run(self, program: str) -> asyncio.subprocess.Process:
        """Run a program at the other end, in a session of this connection.

        Args:
            program: as the shell there takes it. What is written to the process that is
                returned is its input, what it prints can be read there.
        """
        parent = os.getpid()
        return await asyncio.create_subprocess_exec(
            *(_PROGRAM, "-F", "none", "-S", str(self._socket), *_SESSION),
            *("tunnel", program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._env,
            start_new_session=True,
            preexec_fn=lambda: bind_life_to_parent(parent, signal.SIGTERM),
        )

    async def close(self) -> None:
        """End it."""
        await self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _control(self, what: str, forwards: Sequence[str] = ()) -> str | None:
        """Tell the connection something; return why that failed, or None.

        No configuration is read for that (-F none): it might have forwards of its own.
        """
        words = [word for forward in forwards for word in ("-L", forward)]
        process = await asyncio.create_subprocess_exec(
            *(_PROGRAM, "-F", "none", "-S", str(self._socket), "-O", what, *words),
            "tunnel",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_CONTROL_S):
                _, said = await process.communicate()
        except TimeoutError:
            return f"no answer within {_CONTROL_S:g} s"
        finally:
            if process.returncode is None:
                await _kill(process)
        if process.returncode == 0:
            return None
        text = " / ".join(said.decode(errors="replace").split("\n")).strip(" /\r")
        return text or f"exit code {process.returncode}"

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last that it says; what it says of single connections is no news."""
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # longer than a reader takes; the rest comes next
                continue
            if not line:
                return
            self._take(line.decode(errors="replace").strip()[:_LONGEST_LINE])

    def _take(self, text: str) -> None:
        if "open failed" not in text:
            self._said.append(text)
        elif any(word in text for word in _REFUSED):
            text = text.partition("open failed: ")[2]
            if text not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(text)
                self._on_refused(text)

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(1.0):
                    await process.wait()
            except TimeoutError:
                await _kill(process)
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=1.0)
            self._reading.cancel()


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process, which may have ended meanwhile, and wait for its end."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
