"""A real sshd for tests: its own configuration and keys, a port of loopback."""

import asyncio
import getpass
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loadprobe.config.keys import Tunnel
from loadprobe.local.cluster.ports import free_ports

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
_UP_S = 10.0

needs_sshd = pytest.mark.skipif(
    not (Path(SSHD).exists() and shutil.which("ssh")),
    reason="no sshd on this machine; make network installs it (openssh-server)",
)


@dataclass(slots=True)
class Bastion:
    """A host to log in to, which reaches what this one does.

    Args:
        folder: its keys and its configuration.
        port: where it listens.
        host: at which address.
        within: words of a command that starts another one, elsewhere.
    """

    folder: Path
    port: int
    host: str = "127.0.0.1"
    within: Sequence[str] = ()
    _processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    def tunnel(self, *options: str) -> Tunnel:
        """Return the configuration of a tunnel through it."""
        return Tunnel(
            f"{self.user}@{self.host}",
            (
                f"Port={self.port}",
                f"IdentityFile={self.folder / 'key'}",
                "IdentitiesOnly=yes",
                "IdentityAgent=none",
                f"UserKnownHostsFile={self.folder / 'known_hosts'}",
                *options,
            ),
        )

    @property
    def user(self) -> str:
        """Return who may log in."""
        return getpass.getuser()

    @property
    def log(self) -> str:
        """Return what it said."""
        return (self.folder / "log").read_text()

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        path = self.folder / "log"
        before = path.stat().st_size if path.exists() else 0
        with path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.within,
                *(SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        async with asyncio.timeout(_UP_S):
            while b"Server listening on" not in path.read_bytes()[before:]:
                assert process.returncode is None, self.log
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it, with all that are logged in."""
        for process in self._processes:
            send(children(process.pid), 9)
            if process.returncode is None:
                process.kill()
            await process.wait()
        self._processes.clear()

    async def has_echo(self) -> bool:
        """Tell whether anybody who is logged in runs cat."""
        found = [child for each in self._processes for child in children(each.pid)]
        names = [Path(f"/proc/{child}/comm") for child in found]
        return "cat\n" in [name.read_text() for name in names if name.exists()]

    def cut(self) -> None:
        """End the connections of all that are logged in; new ones are taken."""
        for process in self._processes:
            send(children(process.pid), 9)

    def freeze(self, number: int) -> None:
        """Send a signal to all that serve who is logged in."""
        for process in self._processes:
            send(children(process.pid), number)


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes; one may end by that of another."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def children(pid: int) -> list[int]:
    """Return all that a process has started, and what those have."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(word) for word in path.read_text().split()] if path.exists() else []
    return [*found, *(below for child in found for below in children(child))]


async def _make_key(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    )
    assert await process.wait() == 0


@asynccontextmanager
async def bastion(
    folder: Path,
    *settings: str,
    host: str = "127.0.0.1",
    within: Sequence[str] = (),
) -> AsyncIterator[Bastion]:
    """Run an sshd; it is gone after the block.

    Args:
        folder: for its files.
        settings: more lines of its configuration.
        host: where it listens.
        within: words of a command that starts another one, elsewhere.
    """
    folder.mkdir()
    await _make_key(folder / "key")
    await _make_key(folder / "host_key")
    (port,) = free_ports(1)
    public = (folder / "host_key.pub").read_text().split()
    known = f"[{host}]:{port} {public[0]} {public[1]}\n"
    (folder / "known_hosts").write_text(known)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root wants it
    (folder / "sshd_config").write_text(
        "\n".join(
            [
                f"Port {port}",
                f"ListenAddress {host}",
                f"HostKey {folder / 'host_key'}",
                f"AuthorizedKeysFile {folder / 'key.pub'}",
                "PidFile none",
                "StrictModes no",
                "UsePAM no",
                "PasswordAuthentication no",
                f"SetEnv HOME={folder}",  # what a shell does at first is not ours
                "PermitRootLogin prohibit-password",
                *settings,
                "",
            ]
        )
    )
    made = Bastion(folder, port, host, within)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
