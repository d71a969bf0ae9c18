"""Pick free TCP ports on loopback, by binding them.

Ports come from outside the kernel's ephemeral range: a port inside it could be taken
by any outgoing connection of the load while its server is down.

A port is not given twice soon: the one for TLS is bound only when TLS is turned on.
"""

import secrets
import socket
from collections import deque
from itertools import islice
from pathlib import Path

from loadprobe.errors import PreflightError

_LOWEST, _HIGHEST = 10_000, 65_535
_ATTEMPTS = 1_000
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SLICE = 1_000
_given: deque[int] = deque(maxlen=3_000)
_claims: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports that can be bound on 127.0.0.1 now.

    Raises:
        PreflightError: too few free ports.
    """
    low, high = (int(word) for word in _RANGE_FILE.read_text().split())
    usable = [*range(_LOWEST, min(low, _HIGHEST)), *range(high + 1, _HIGHEST)]
    if len(usable) < 100 * count:  # everything is ephemeral here: take what there is
        usable = list(range(_LOWEST, _HIGHEST))
    usable = _own_slice(usable) if len(usable) >= 2 * _SLICE else usable
    avoided = set(islice(reversed(_given), len(usable) // 2))
    held: list[socket.socket] = []
    try:
        for _ in range(_ATTEMPTS):
            if len(held) == count:
                ports = [holder.getsockname()[1] for holder in held]
                _given.extend(ports)
                return ports
            port = secrets.choice(usable)
            if port in avoided:
                continue
            holder = socket.socket()
            try:
                holder.bind(("127.0.0.1", port))
            except OSError:
                holder.close()
            else:
                held.append(holder)
    finally:
        for holder in held:
            holder.close()
    raise PreflightError(
        f"looking for {count} free ports on 127.0.0.1: none found in {_ATTEMPTS} "
        "attempts; end something that listens on many ports"
    )


def _own_slice(usable: list[int]) -> list[int]:
    """Return the ports that this process has for itself among its like.

    A server that is down for a moment would else find its port taken by a server of
    another process. The claim is a name that ends with the process.
    """
    slices = [usable[i : i + _SLICE] for i in range(0, len(usable) - _SLICE, _SLICE)]
    for number in [
        *_claims,
        *sorted(range(len(slices)), key=lambda _: secrets.token_hex(4)),
    ]:
        if number not in _claims:
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0loadprobe-ports-{number}")
            except OSError:
                claim.close()
                continue
            claim.detach()  # held until the process ends
            _claims.add(number)
        return slices[number]
    return usable
