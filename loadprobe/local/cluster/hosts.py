"""Addresses of nodes that have one of their own: a name holds no port."""

from collections.abc import Collection
from itertools import cycle

from loadprobe.errors import RunError
from loadprobe.local.cluster.certificates import NODE_HOSTS


class Hosts:
    """Gives addresses out by turns, as replaced nodes get others."""

    def __init__(self) -> None:
        self._turns = cycle(NODE_HOSTS)

    def take(self, taken: Collection[str]) -> str:
        """Return an address that is not taken.

        Raises:
            RunError: all are.
        """
        for _ in NODE_HOSTS:
            host = next(self._turns)
            if host not in taken:
                return host
        raise RunError(f"a group without cluster mode has {len(NODE_HOSTS)} addresses")
