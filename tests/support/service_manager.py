"""The socket of a service manager, which systemd has one of for each service."""

import socket
from pathlib import Path


class Manager:
    """Hears what a service tells (sd_notify(3)).

    Args:
        address: of its socket: a path, or an abstract name.
    """

    def __init__(self, address: Path | bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address if isinstance(address, bytes) else str(address))
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """Return what came since the last time, in order."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        """Go away."""
        self._socket.close()
