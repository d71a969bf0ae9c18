"""Every node is visited once, as a lane would connect: its view, and how far it is."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

import hiredis

from loadprobe.clock import mono_now_ns
from loadprobe.core.topology.roles import Address
from loadprobe.core.topology.topology import SlotsView, parse_slots
from loadprobe.drivers import resp
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.explain import explain_dial_failure
from loadprobe.drivers.wire.seed import Bystander

_PINGS = 50
_AT_ONCE = 32
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Visit:
    """What one node told.

    Args:
        address: as announced.
        failure: why it told nothing, in one line with what to do; "" if it did.
        round_trips_ns: of each PING, in the order in which they were sent.
        state: its ``cluster_state``; None if it did not tell, or has no cluster mode.
        slots: its CLUSTER SLOTS; None likewise.
    """

    address: Address
    failure: str = ""
    round_trips_ns: tuple[int, ...] = ()
    state: str | None = None
    slots: SlotsView | None = None


async def visit_all(
    dialer: Dialer, addresses: Iterable[Address], *, is_cluster: bool
) -> list[Visit]:
    """Visit nodes side by side, some at a time; in the order of their addresses.

    Args:
        dialer: opens connections.
        addresses: as announced.
        is_cluster: ask for what only a node in cluster mode knows.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def visit(address: Address) -> Visit:
        async with places:
            return await _visit(dialer, address, is_cluster=is_cluster)

    return await asyncio.gather(*map(visit, sorted(set(addresses))))


async def _visit(dialer: Dialer, address: Address, *, is_cluster: bool) -> Visit:
    host, port = address
    owner = Bystander()
    made = await dialer.dial(host, port, lambda: Connection(owner, owner, None))
    if isinstance(made, DialFailure):
        return Visit(address, explain_dial_failure(made, host, port, dialer))
    try:
        async with asyncio.timeout(dialer.timeout_ms / 1000):
            round_trips = await _ping(made)
            if not is_cluster:
                return Visit(address, "", round_trips)
            slots = await made.request(resp.CLUSTER_SLOTS)
            info = await made.request(resp.encode(b"CLUSTER", b"INFO"))
    except (OSError, TimeoutError, ssl.SSLError) as exc:
        said = str(exc) or f"no answer within {dialer.timeout_ms} ms"
        return Visit(address, f"{host}:{port} took the connection, then: {said}")
    finally:
        made.abort()
    refusal = next(
        (reply for reply in (slots, info) if isinstance(reply, hiredis.ReplyError)),
        None,
    )
    if refusal is not None:
        failure = f"{host}:{port} refused to tell its view of the cluster: {refusal}"
        return Visit(address, failure, round_trips)
    try:
        state, view = _read(slots, info, host)
    except ValueError as exc:
        failure = f"{host}:{port} tells no view of the cluster: {str(exc)[:_MOST_TEXT]}"
        return Visit(address, failure, round_trips)
    return Visit(address, "", round_trips, state, view)


def _read(slots: object, info: object, host: str) -> tuple[str | None, SlotsView]:
    """Return the state and the view that a node tells.

    Raises:
        ValueError: it tells something else.
    """
    told = info if isinstance(info, bytes) else b""
    state = told.partition(b"cluster_state:")[2].split(b"\r\n", 1)[0]
    text = state.decode(errors="replace")[:_MOST_TEXT]
    return text or None, parse_slots(slots, asked_host=host)


async def _ping(connection: Connection) -> tuple[int, ...]:
    """Return the round trips of some PINGs, one after the other, in ns."""
    found: list[int] = []
    for _ in range(_PINGS):
        sent_ns = mono_now_ns()
        await connection.request(resp.PING)
        found.append(mono_now_ns() - sent_ns)
    return tuple(found)
