"""What a probe process logs in with and encrypts by, and how that changes in mid-run.

Connections that are open are not closed for it: they may log in anew, and what they
are encrypted by holds until they end.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence

from loadprobe.config.keys import Target
from loadprobe.drivers.base import Driver
from loadprobe.drivers.renewal import Renewal
from loadprobe.drivers.tls import make_context
from loadprobe.errors import PreflightError
from loadprobe.probe.messages import (
    CertificatesRefused,
    FromProbe,
    LoginRenewed,
)
from loadprobe.probe.orders import (
    UseCertificates,
    UseLogin,
)

LaneDriver = tuple[str, Driver]
"""A driver with the name of its lane."""


class Credentials:
    """Changes the credentials of the drivers of a process.

    Args:
        process: its index.
        send: takes messages for the supervisor.
        group: in tasks of it connections are renewed and files are read.
    """

    def __init__(
        self,
        process: int,
        send: Callable[[FromProbe], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._process = process
        self._send = send
        self._group = group
        self._renewing: dict[str, asyncio.Task[None]] = {}

    def use_login(self, order: UseLogin, drivers: Sequence[LaneDriver]) -> None:
        """Let drivers log in as somebody from now on."""
        for lane, driver in drivers:
            driver.use_login(order.username, order.password)
            if order.renew_s is None:
                continue
            # One that is under way takes what it has not renewed from the new login,
            # and the rest is too old: so all begins again.
            former = self._renewing.get(lane)
            if former is not None:
                former.cancel()
            self._renewing[lane] = self._group.create_task(
                self._renew(lane, driver, order.renew_s)
            )

    async def _renew(self, lane: str, driver: Driver, spread_s: float) -> None:
        found: Renewal = await driver.renew_login(spread_s)
        self._send(
            LoginRenewed(
                self._process, lane, found.renewed, found.refused, found.reason
            )
        )

    def use_certificates(
        self, order: UseCertificates, drivers: Sequence[LaneDriver]
    ) -> None:
        """Let drivers encrypt new connections by what files hold now."""
        self._group.create_task(self._use_certificates(order.target, drivers))

    async def _use_certificates(
        self, target: Target, drivers: Sequence[LaneDriver]
    ) -> None:
        try:
            # It takes 30 ms: the loop that measures does not stand still for that.
            context: ssl.SSLContext = await asyncio.to_thread(make_context, target)
        except PreflightError as exc:
            self._send(CertificatesRefused(self._process, str(exc)))
            return
        for _, driver in drivers:
            await driver.use_certificates(target, context)
