"""What an endpoint tells of itself: TLS, cluster mode, whether it wants a login.

A connection each, as lanes would make it; nothing is written, and no password is sent
in the clear to one that speaks TLS.
"""

import asyncio
import ssl
from dataclasses import dataclass

import hiredis

from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.topology import merge, parse_slots
from loadprobe.drivers import resp, tls
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.explain import explain_dial_failure
from loadprobe.drivers.wire.seed import Bystander

TIMEOUT_MS = 3000


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What an endpoint told, asked by one transport.

    Args:
        is_served: it answered as a Valkey or Redis server does.
        failure: why it did not, in one line with what to do.
        error: the class of that.
        is_cluster: whether it is in cluster mode; None: it would not tell.
        shards: how many there are in cluster mode; 0 if it would not tell.
        wants_login: it refuses commands without a login.
    """

    is_served: bool
    failure: str = ""
    error: ErrorClass | None = None
    is_cluster: bool | None = None
    shards: int = 0
    wants_login: bool = False


async def ask(
    target: Target, *, with_tls: bool, password: str | None = None
) -> EndpointAnswer:
    """Ask an endpoint by one transport.

    Args:
        target: where, and by which certificates and user.
        with_tls: ask by TLS.
        password: to log in with; None does not log in.

    Raises:
        PreflightError: a certificate or key file cannot be used.
    """
    context: ssl.SSLContext | None = tls.make_context(target) if with_tls else None
    dialer = Dialer(target, context, password, TIMEOUT_MS)
    port = target.port_of(tls=with_tls)
    owner = Bystander()
    made = await dialer.dial(target.host, port, lambda: Connection(owner, owner, None))
    if isinstance(made, DialFailure):
        failure = explain_dial_failure(made, target.host, port, dialer)
        return EndpointAnswer(is_served=False, failure=failure, error=made.error)
    try:
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            return await _ask(made, target.host)
    except (OSError, TimeoutError) as exc:
        said = str(exc) or f"no answer within {TIMEOUT_MS} ms"
        return EndpointAnswer(
            is_served=False,
            failure=f"{target.host}:{port} took the connection, then: {said}; is it a "
            "Valkey or Redis port?",
            error=ErrorClass.RESET,
        )
    finally:
        made.abort()


async def _ask(connection: Connection, host: str) -> EndpointAnswer:
    pong = await connection.request(resp.PING)
    if isinstance(pong, hiredis.ReplyError):
        if _is_locked(pong):
            return EndpointAnswer(is_served=True, wants_login=True)
    elif pong != resp.PONG:
        return _strange(host)
    slots = await connection.request(resp.CLUSTER_SLOTS)
    if isinstance(slots, list):
        try:
            view = parse_slots(slots, asked_host=host)
        except ValueError:
            return _strange(host)
        shards = len(merge(None, view, None).shards)
        return EndpointAnswer(is_served=True, is_cluster=True, shards=shards)
    if isinstance(slots, hiredis.ReplyError):
        if _is_locked(slots):
            return EndpointAnswer(is_served=True, wants_login=True)
        if "cluster support disabled" in str(slots):
            return EndpointAnswer(is_served=True, is_cluster=False)
    info = await connection.request(resp.encode(b"INFO", b"cluster"))
    is_cluster = None
    if isinstance(info, bytes) and b"cluster_enabled:" in info:
        is_cluster = b"cluster_enabled:1" in info
    return EndpointAnswer(is_served=True, is_cluster=is_cluster)


def _strange(host: str) -> EndpointAnswer:
    return EndpointAnswer(
        is_served=False,
        failure=f"{host} answers, but not as Valkey or Redis does; check the port",
        error=ErrorClass.OTHER,
    )


def _is_locked(error: hiredis.ReplyError) -> bool:
    """Tell whether a login is missing, rather than a permission."""
    text = str(error)
    return classify_reply(text) is ErrorClass.AUTH and not text.startswith("NOPERM")
