"""The open connections of a wire driver log in anew; see ``drivers.renewal``."""

import asyncio
from collections.abc import Iterable

import hiredis

from loadprobe.drivers.renewal import Renewal, spread_over
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.node import WireNode


async def renew_login(
    nodes: Iterable[WireNode], dialer: Dialer, spread_s: float
) -> Renewal:
    """Log in on every open connection, with what the dialer knows at that moment.

    AUTH stands in line with the arrivals of its connection, and costs them nothing.
    What a server does not answer while a new connection may take is left alone: the
    connection is lost, or answers later.

    Args:
        nodes: all of the driver.
        dialer: knows the login.
        spread_s: over how long the connections are spread.
    """
    asked: list[asyncio.Future[object]] = []

    def begin(connection: Connection) -> None:
        command = dialer.login_command()
        if connection.live and command is not None:
            asked.append(connection.request(command))

    open_now = [connection for node in nodes for connection in node.live]
    await spread_over(open_now, spread_s, begin)
    if not asked:
        return Renewal()
    answered, _ = await asyncio.wait(asked, timeout=dialer.timeout_ms / 1000)
    replies = [f.result() for f in answered if f.exception() is None]
    refusals = [str(r) for r in replies if isinstance(r, hiredis.ReplyError)]
    return Renewal(
        len(replies) - len(refusals), len(refusals), refusals[-1] if refusals else ""
    )
