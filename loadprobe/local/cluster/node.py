"""One real server process with its own folder, ports and configuration file.

It never outlives the process that started it (PR_SET_PDEATHSIG), and no secret is in
its argument list.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from loadprobe.errors import RunError
from loadprobe.local.cluster.admin import (
    SOCKET_NAME,
    AdminConnection,
    Reply,
    ServerGone,
    ServerRefused,
)
from loadprobe.local.cluster.ports import free_ports
from loadprobe.local.cluster.processes import (
    bind_life_to_parent,
    send_signal,
    start_ticks,
)
from loadprobe.local.cluster.servers import ServerBinary
from loadprobe.local.cluster.settings import Setting

COMMAND_TIMEOUT_S = 5.0
_START_TIMEOUT_S = 10.0
_POLL_S = 0.01
_PORT_ATTEMPTS = 5
_PORT_TAKEN = ("Address already in use", "Failed listening on port")
LOOPBACK = "127.0.0.1"
_LOG_TAIL_LINES = 8


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The ports of one node.

    Args:
        plain: plaintext RESP.
        tls: RESP over TLS.
        bus: cluster bus.
    """

    plain: int
    tls: int
    bus: int


class LocalNode:
    """One server process.

    Args:
        name: for example "local-0001-001"; its folder has that name too, with a number
            added while the folder of a node of the same name is still there.
        folder: where its folder is made.
        server: the program.
        settings: configuration directives beside ports, folder and socket.
        has_tls_port: listen with TLS.
        has_plain_port: listen without TLS.
        password: what the administrative connection authenticates with.
        host: the loopback address that it listens on.
        ports: its ports; None picks free ones.
    """

    def __init__(
        self,
        name: str,
        *,
        folder: Path,
        server: ServerBinary,
        settings: Mapping[str, Setting],
        has_tls_port: bool,
        has_plain_port: bool = True,
        password: str | None = None,
        host: str = LOOPBACK,
        ports: NodePorts | None = None,
    ) -> None:
        self.name = name
        self.host = host
        self.folder = _unused(folder, name)
        self.server = server
        self.settings: dict[str, Setting] = dict(settings)
        self.has_tls_port = has_tls_port
        self.has_plain_port = has_plain_port
        self._has_own_ports = ports is None
        self.ports = ports or NodePorts(*free_ports(3))
        self.node_id = ""
        self.is_paused = False
        self._process: asyncio.subprocess.Process | None = None
        self._start_ticks = 0
        self._admin = AdminConnection(self.folder, name=name, password=password)

    @property
    def served_ports(self) -> tuple[int, int]:
        """Its ports for clients, open or not."""
        return self.ports.plain, self.ports.tls

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process and self.is_alive else None

    @property
    def is_alive(self) -> bool:
        """Whether the process exists (it may be paused)."""
        return self._process is not None and self._process.returncode is None

    @property
    def is_responsive(self) -> bool:
        """Whether the process exists and was not paused."""
        return self.is_alive and not self.is_paused

    @property
    def password(self) -> str | None:
        """What the next administrative connection logs in with."""
        return self._admin.password

    @password.setter
    def password(self, password: str | None) -> None:
        self._admin.password = password

    async def start(self) -> None:
        """Start the process and wait until it answers.

        The first start may choose other ports if one was taken meanwhile; later
        starts keep them, because other nodes and clients know them.

        Raises:
            RunError: it ended, or did not answer in time; the text ends with its log.
        """
        is_first = not self.folder.exists() and self._has_own_ports
        for attempts_left in reversed(range(_PORT_ATTEMPTS if is_first else 1)):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._write_configuration()
            try:
                await self._start_once()
            except RunError:
                await self.kill()
                taken = any(text in self.log_tail() for text in _PORT_TAKEN)
                if not (taken and attempts_left):
                    raise
                shutil.rmtree(self.folder)
                self.ports = NodePorts(*free_ports(3))
            else:
                return

    async def kill(self) -> None:
        """End the process with SIGKILL, as a crash would; wait until it is gone."""
        self.signal_kill()
        if self._process is not None:
            await self._process.wait()

    def signal_kill(self) -> None:
        """Send SIGKILL without waiting (works for a paused process too)."""
        self._send_signal(signal.SIGKILL)
        self._admin.close()
        self.is_paused = False

    def pause(self) -> None:
        """Stop the process with SIGSTOP: connections stay, nothing answers."""
        self._send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Continue a paused process with SIGCONT."""
        self._send_signal(signal.SIGCONT)
        self.is_paused = False

    async def restart(self) -> None:
        """Kill the process if it runs, and start it again on the same ports."""
        await self.kill()
        await self.start()

    async def command(
        self, *words: str | int, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> Reply:
        """Send one administrative command; see ``AdminConnection.command``."""
        return await self._admin.command(*words, timeout_s=timeout_s)

    async def pipeline(
        self,
        commands: list[tuple[str | int, ...]],
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> list[Reply]:
        """Send commands together; see ``AdminConnection.pipeline``."""
        return await self._admin.pipeline(commands, timeout_s=timeout_s)

    async def info(self, section: str) -> dict[str, str]:
        """Return one section of INFO as a dict."""
        return parse_info(await self.command("INFO", section))

    async def cluster_info(self) -> dict[str, str]:
        """Return CLUSTER INFO as a dict."""
        return parse_info(await self.command("CLUSTER", "INFO"))

    async def configure(self, settings: Mapping[str, str]) -> None:
        """Change settings of the running process, and of its next start."""
        await self.command("CONFIG", "SET", *_flat(settings))
        self.settings.update(settings)

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Change settings of the process, if it runs, until it ends."""
        if self.is_alive:
            await self.command("CONFIG", "SET", *_flat(settings))

    async def listen(
        self, *, plain: bool, tls: bool, settings: Mapping[str, str] | None = None
    ) -> None:
        """Open and close ports, now and at later starts; connections stay.

        Args:
            plain: listen without TLS.
            tls: listen with TLS.
            settings: settings to change in the same instant.
        """
        ports = {"port": str(self.ports.plain if plain else 0)}
        if self.server.has_tls:
            ports["tls-port"] = str(self.ports.tls if tls else 0)
        await self.reconfigure(ports | dict(settings or {}))
        self.has_plain_port, self.has_tls_port = plain, tls
        self.settings.update(settings or {})

    async def disconnect(self, port: int) -> None:
        """Cut the clients (never replicas) that came in by one of its ports."""
        for kind in ("normal", "pubsub"):
            await self.command(
                "CLIENT", "KILL", "LADDR", f"{self.host}:{port}", "TYPE", kind
            )

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        try:
            text = (self.folder / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])

    async def _start_once(self) -> None:
        parent_pid = os.getpid()
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                self.server.path,
                self.folder / "node.conf",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # a terminal's Ctrl-C is ours to handle
                preexec_fn=lambda: bind_life_to_parent(parent_pid, signal.SIGKILL),
            )
        # None if it has ended already, and then there is nobody to signal.
        self._start_ticks = start_ticks(self._process.pid) or 0
        self.is_paused = False
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await self._answers():
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as exc:
            raise self._start_error(f"no answer in {_START_TIMEOUT_S:g} s") from exc

    async def _answers(self) -> bool:
        if not self.is_alive:
            assert self._process is not None
            raise self._start_error(f"it ended with code {self._process.returncode}")
        try:
            await self.command("PING", timeout_s=1.0)
        except ServerGone:
            return False
        except ServerRefused as exc:
            if "LOADING" in str(exc):  # what it kept of the time before
                return False
            raise
        return True

    def _start_error(self, what: str) -> RunError:
        return RunError(
            f"starting {self.server.path} as {self.name} on ports {self.ports.plain} "
            f"and {self.ports.tls}: {what}; its log ends with:\n{self.log_tail()}"
        )

    def _write_configuration(self) -> None:
        settings: dict[str, Setting] = {
            "bind": self.host,
            "port": str(self.ports.plain if self.has_plain_port else 0),
            "unixsocket": SOCKET_NAME,  # in its working folder
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "daemonize": "no",
        }
        if self.server.has_tls:
            settings["tls-port"] = str(self.ports.tls if self.has_tls_port else 0)
        if self.settings.get("cluster-enabled") == "yes":
            # A pinned bus port: else nodes that turn on tls-cluster announce
            # tls-port + 10000, where nobody listens (redis 7.0.15, observed).
            settings["cluster-port"] = str(self.ports.bus)
            settings["cluster-announce-bus-port"] = str(self.ports.bus)
            settings["cluster-announce-ip"] = self.host
        else:
            # What a primary tells of its replicas; else the address they call from.
            settings["replica-announce-ip"] = self.host
        settings.update(self.settings)
        lines = [f"{key} {_quoted(value)}\n" for key, value in settings.items()]
        path = self.folder / "node.conf"
        path.touch(mode=0o600)
        path.write_text("".join(lines))

    def _send_signal(self, signal_number: signal.Signals) -> None:
        # Not Process.send_signal: it may reap the process before asyncio does, whose
        # exit code is then lost.
        if self._process is not None and self._process.returncode is None:
            send_signal(self._process.pid, self._start_ticks, signal_number)


def _unused(folder: Path, name: str) -> Path:
    """Return the first of NAME, NAME.2, NAME.3 ... that does not exist."""
    names = (name if number == 1 else f"{name}.{number}" for number in count(1))
    return next(path for each in names if not (path := folder / each).exists())


def _flat(settings: Mapping[str, str]) -> list[str]:
    return [word for pair in settings.items() for word in pair]


def _quoted(value: Setting) -> str:
    words = (value,) if isinstance(value, str) else value
    escaped = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
    return " ".join(f'"{word}"' for word in escaped)


def parse_info(text: str) -> dict[str, str]:
    """Split ``key:value`` lines, as INFO and CLUSTER INFO have them."""
    parts = (line.partition(":") for line in text.splitlines())
    return {key: value for key, colon, value in parts if colon}
