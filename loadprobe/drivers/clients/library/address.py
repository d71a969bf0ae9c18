"""Addresses that nodes announce, and those to connect to."""

from collections.abc import Callable

from loadprobe.config.keys import Target

Address = tuple[str, int]
NOWHERE: Address = ("127.0.0.1", 1)
"""Stands for a node that the tunnel has no forward to yet: it refuses connections."""


def make_remap(target: Target) -> Callable[[Address], Address]:
    """Return what turns an announced address into the one to connect to.

    The map is looked at each time: that of a tunnel grows while a run lasts.
    """

    def remap(address: Address) -> Address:
        host, port = address
        return target.way_to(host, int(port)) or NOWHERE

    return remap
