"""Asking an endpoint for the topology, on a connection of its own."""

import asyncio
import ssl

import hiredis

from loadprobe.core.topology.roles import RoleView, parse_replication
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.wire.connection import Connection, Pulse
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.explain import explain_dial_failure, explain_slots_error
from loadprobe.errors import PreflightError

_WHAT_PORT = "is it a Valkey or Redis port?"


class Bystander:
    """The owner of a connection that carries no arrivals."""

    pulse = Pulse()
    matched: list[Arrival] = []  # noqa: RUF012 - it stays empty
    most_bytes = resp.SLACK_BYTES

    def wake(self) -> None:
        """Never called: nothing is submitted."""

    def replied(self, *_: object) -> None:
        """Never called: nothing is submitted."""

    def unread_since(self, at_ns: int) -> int:
        """Return the time: nobody asks for the pulse of a bystander."""
        return at_ns

    def looked_since(self, at_ns: int) -> int:
        """Return nothing known: nobody asks what a bystander notices."""
        return min(0, at_ns)

    def error_reply(self, *_: object) -> None:
        """Never called: nothing is submitted."""

    def lost(self, connection: Connection, exc: Exception | None) -> None:
        """Tell those who wait for a reply."""
        for entry in connection.pending:
            if not isinstance(entry, Arrival) and not entry.done():
                entry.set_exception(exc or ConnectionResetError("closed by peer"))
                # If nobody waits any more, that is no defect.
                entry.exception()


async def ask_seed(dialer: Dialer, host: str, port: int) -> tuple[list[object], object]:
    """Return an endpoint's replies to CLUSTER SLOTS and CLUSTER NODES.

    Args:
        dialer: opens the connection.
        host: the endpoint.
        port: its port.

    Raises:
        PreflightError: there is no answer, or it is a refusal; it says what to do.
    """
    slots, nodes = await _ask(
        dialer,
        (host, port),
        resp.CLUSTER_SLOTS,
        resp.CLUSTER_NODES,
        what="CLUSTER SLOTS",
    )
    if isinstance(slots, hiredis.ReplyError):
        raise PreflightError(explain_slots_error(str(slots), host, port))
    if not isinstance(slots, list):
        raise PreflightError(
            f"asking {host}:{port} for CLUSTER SLOTS gave {repr(slots)[:200]}; "
            f"{_WHAT_PORT}"
        )
    return slots, nodes


async def ask_role(dialer: Dialer, host: str, port: int) -> RoleView | None:
    """Return what a node without cluster mode tells of itself.

    Args:
        dialer: opens the connection.
        host: the node.
        port: its port.

    Returns:
        None if it answers, but does not tell.

    Raises:
        PreflightError: there is no answer; it says what to do.
    """
    (reply,) = await _ask(
        dialer, (host, port), resp.REPLICATION, what="INFO replication"
    )
    if not isinstance(reply, bytes):
        return None  # it may not be ours to ask
    try:
        return parse_replication(reply, (host, port))
    except ValueError:
        return None


async def _ask(
    dialer: Dialer, address: tuple[str, int], *commands: bytes, what: str
) -> list[object]:
    host, port = address
    owner = Bystander()
    made = await dialer.dial(host, port, lambda: Connection(owner, owner, None))
    if isinstance(made, DialFailure):
        raise PreflightError(explain_dial_failure(made, host, port, dialer))
    try:
        async with asyncio.timeout(dialer.timeout_ms / 1000):
            return [await made.request(command) for command in commands]
    except (OSError, TimeoutError) as exc:
        # By TLS 1.3 a server demands a client certificate after the handshake.
        is_tls = isinstance(exc, ssl.SSLError)
        advice = "check cert_file and key_file" if is_tls else _WHAT_PORT
        raise PreflightError(
            f"asking {host}:{port} for {what} failed: {str(exc) or 'no answer'}; "
            f"{advice}"
        ) from exc
    finally:
        made.abort()
