"""A run that logs in as an IAM user: fresh tokens, and logins renewed in time.

Tokens are made here, as probes have no AWS library, and are told to them before the
last one is stale. A connection is cut twelve hours after its login, so all log in anew
before that, spread over an hour: none waits for it, and none is closed.
"""

import asyncio
import logging
import os
from collections.abc import Callable

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.provider.iam_token import TokenMaker
from loadprobe.core.events import CredentialsChanged, Emit, RunProblem
from loadprobe.errors import PreflightError
from loadprobe.run.credentials import Lanes

FRESH_S = 600.0
"""A token is told for so long; it lets in for 900 s."""

RENEW_S = 9 * 3600.0
SPREAD_S = 3600.0
"""All connections log in anew so often, over such a time: each within 11 hours of its
last login, for the pause is up to a tenth longer or shorter."""

RETRY_S = 20.0

logger = logging.getLogger(__name__)


class IamLogins:
    """Makes the tokens of a run (see the module).

    Args:
        target: logs in as an IAM user.
        lanes: who log in.
        emit: where events go.
        make: makes a token; it blocks.
        fresh_s: see ``FRESH_S``.
        renew_s: see ``RENEW_S``.
        spread_s: see ``SPREAD_S``.
        now_ns: monotonic clock.

    Attributes:
        problem: why there is no fresh token, or None.
        is_over: the lanes log in otherwise from now on.
    """

    def __init__(
        self,
        target: Target,
        lanes: Lanes,
        emit: Emit,
        *,
        make: Callable[[], str],
        fresh_s: float = FRESH_S,
        renew_s: float = RENEW_S,
        spread_s: float = SPREAD_S,
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self._user = target.iam_user
        self._lanes = lanes
        self._emit = emit
        self._make = make
        self._fresh_s = fresh_s
        self._renew_ns = int(renew_s * NS_PER_S)
        self._spread_s = spread_s
        self._now_ns = now_ns
        self._due_ns = 0
        self.problem: str | None = None
        self.is_over = False

    async def begin(self) -> None:
        """Log in for the first time.

        Raises:
            PreflightError: no token can be made.
        """
        token = await asyncio.to_thread(self._make)
        self._plan_renewal()
        self._lanes.use_login(self._user, token)

    async def run(self) -> None:
        """Go on with fresh tokens, until the lanes log in otherwise."""
        pause_s = self._fresh_s
        while True:
            await asyncio.sleep(pause_s)
            if self.is_over:
                self.problem = None
                return
            pause_s = self._fresh_s if await self.refresh() else RETRY_S

    def renew_soon(self) -> None:
        """Have all connections log in anew with the next token."""
        self._due_ns = 0

    async def refresh(self) -> bool:
        """Pass a fresh token on, and renew logins if it is time; tell if it worked."""
        try:
            token = await asyncio.to_thread(self._make)
        except PreflightError as exc:
            if self.problem is None:
                self._emit(RunProblem(self._now_ns(), str(exc)))
                logger.error("iam_token_failed", extra={"lp_problem": str(exc)})  # noqa: TRY400
            self.problem = str(exc)
            return False
        self.problem = None
        if self.is_over:  # meanwhile
            return True
        if self._now_ns() < self._due_ns:
            self._lanes.use_login(self._user, token)
            return True
        self._plan_renewal()
        self._lanes.use_login(self._user, token, renew_s=self._spread_s)
        self._emit(CredentialsChanged(self._now_ns(), ("iam_user",), "iam"))
        return True

    def _plan_renewal(self) -> None:
        """Set the time of the next renewal: probes of one start do not keep step."""
        part = int.from_bytes(os.urandom(2)) / 0xFFFF
        self._due_ns = self._now_ns() + int(self._renew_ns * (0.9 + 0.2 * part))


def make_iam_logins(target: Target, lanes: Lanes, emit: Emit) -> IamLogins | None:
    """Return what logs in as an IAM user, None if a target has none."""
    if target.iam_user is None:
        return None
    return IamLogins(target, lanes, emit, make=TokenMaker(target).make)
