"""Addresses that nodes announce, and those to connect to."""

from collections.abc import Callable

from loadprobe.config.keys import Target

Address = tuple[str, int]


def make_remap(target: Target) -> Callable[[Address], Address]:
    """Return what turns an announced address into the one to connect to."""

    def remap(address: Address) -> Address:
        host, port = address
        mapped = target.address_map.get(f"{host}:{port}")
        if mapped is None:
            return host, int(port)
        host, _, text = mapped.rpartition(":")
        return host.strip("[]"), int(text)

    return remap
