"""What systemd is told of a run: that load flows, how it goes, and that it is alive.

The protocol is that of sd_notify(3): lines in datagrams to the socket that
``NOTIFY_SOCKET`` names. Without it nothing is told and nothing is different. The
watchdog is that of ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` (systemd.service(5)).
"""

import logging
import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import Self

from loadprobe.clock import NS_PER_S

_STATUS_NS = NS_PER_S
_PATS_PER_TIMEOUT = 4

logger = logging.getLogger(__name__)


class Service:
    """Tells the service manager how a run is doing.

    Args:
        address: of the manager's socket; None tells nobody.
        watchdog_ns: how soon the manager has to hear that all goes on, if it waits for
            that.
    """

    def __init__(
        self, address: str | bytes | None = None, *, watchdog_ns: int | None = None
    ) -> None:
        self._address = address
        self._pat_ns = watchdog_ns and watchdog_ns // _PATS_PER_TIMEOUT
        self._watermarks_ns: dict[int, int] = {}
        self._patted_ns = self._told_ns = 0
        self._status = ""
        self._has_failed = False

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Self:
        """Return the one that an environment asks for.

        What asks for it is taken out: it is meant for this process, not for those that
        it starts.
        """
        address = _address(environment.pop("NOTIFY_SOCKET", ""))
        timeout_us = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", "")
        is_watched = timeout_us.isdecimal() and watched in {"", str(os.getpid())}
        return cls(address, watchdog_ns=int(timeout_us) * 1_000 if is_watched else None)

    def ready(self) -> None:
        """Say that load flows."""
        self._send("READY=1")

    def reloading(self, now_ns: int) -> None:
        """Say that the configuration is read again; ``ready`` says that it was.

        Args:
            now_ns: monotonic time: a manager tells by it which of its orders is meant.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_ns // 1_000}")

    def stopping(self) -> None:
        """Say that the run ends, in order."""
        self._send("STOPPING=1")
        self._send("STATUS=ending: what was measured is judged and written")

    def refresh(
        self, status: str, watermarks_ns: Mapping[int, int], now_ns: int
    ) -> None:
        """Say how it goes, once a second at most, and that all goes on.

        The watchdog is patted only if every probe process has got further since the
        last time: one that hangs has the service restarted, as a supervisor would that
        does not call this.

        Args:
            status: one line.
            watermarks_ns: how far each process is that has begun.
            now_ns: monotonic time.
        """
        if status != self._status and now_ns - self._told_ns >= _STATUS_NS:
            self._status, self._told_ns = status, now_ns
            self._send(f"STATUS={' '.join(status.split())}")
        if self._pat_ns is None or now_ns - self._patted_ns < self._pat_ns:
            return
        before = self._watermarks_ns
        if all(at_ns > before.get(of, 0) for of, at_ns in watermarks_ns.items()):
            self._patted_ns, self._watermarks_ns = now_ns, dict(watermarks_ns)
            self._send("WATCHDOG=1")

    def _send(self, line: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
            ) as sender:
                sender.sendto(line.encode(), self._address)
        except OSError as exc:
            if not self._has_failed:
                self._has_failed = True
                logger.warning(
                    "telling the service manager %s failed: %s",
                    line.partition("=")[0],
                    exc,
                )


def _address(name: str) -> str | bytes | None:
    """Return the address of a socket: a path, or an abstract name after an @."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    return name if name.startswith("/") else None
