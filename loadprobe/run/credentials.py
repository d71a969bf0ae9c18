"""Credentials that change while a run lasts: passwords and certificates, read again.

Files are looked at every few seconds, here and not by the probes, and are followed
through links, as agents replace them by renaming. What cannot be read, or does not fit
together (yet), changes nothing. Lanes keep their connections: those log in anew, in
line with the arrivals.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.bounded_file import check_bounded, read_bounded
from loadprobe.config.keys import Target
from loadprobe.core.events import (
    CredentialsChanged,
    Emit,
    LoginsRenewed,
    RunProblem,
)
from loadprobe.drivers.tls import make_context
from loadprobe.errors import PreflightError, UsageError
from loadprobe.probe.messages import (
    CertificatesRefused,
    LoginRenewed,
)

LOOK_S = 2.0
AGAIN_NS = 5 * NS_PER_S
LONGEST_AGAIN_NS = 300 * NS_PER_S
"""Pause until open connections that were refused log in again, at first and at last."""

FILES = ("ca_file", "cert_file", "key_file")

logger = logging.getLogger(__name__)

_Stamps = tuple[tuple[int, int, int] | None, ...]


class Lanes(Protocol):
    """Who uses the credentials."""

    def use_login(
        self,
        username: str | None,
        password: str | None,
        *,
        renew_s: float | None = None,
    ) -> None:
        """Log in as somebody from now on."""

    def use_certificates(self, target: Target) -> None:
        """Use what certificate files hold now for new connections."""


@dataclass(frozen=True, slots=True)
class HeldSecrets:
    """What the references of a target hold at one time.

    Args:
        password: the password, None if there is none.
        digests: key of a certificate file -> digest of what is in it.
    """

    password: str | None = field(repr=False)
    digests: dict[str, str]


def read_credentials(target: Target, *, tls: bool) -> HeldSecrets:
    """Read everything that a target's references name, and check that it fits.

    Args:
        target: names the files.
        tls: any lane is encrypted, so the certificates are used.

    Raises:
        UsageError: something cannot be read or used.
    """
    password = target.read_password()
    digests: dict[str, str] = {}
    if tls:
        # First, as OpenSSL would wait for a pipe, and read a device to its end.
        digests = {
            key: _digest(key, path)
            for key in FILES
            if (path := getattr(target, key)) is not None
        }
        make_context(target)
    return HeldSecrets(password, digests)


def _digest(key: str, path: str) -> str:
    try:
        check_bounded(path)
        return hashlib.sha256(read_bounded(path)).hexdigest()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise PreflightError(
            f"target.{key} {path!r} cannot be used: {why}; it must be a PEM file"
        ) from exc


class CredentialWatch:
    """Looks after the credentials of a run (see the module).

    Args:
        target: what is measured, with the references.
        lanes: who uses the credentials.
        emit: where events go.
        tls: any lane is encrypted.
        now_ns: monotonic clock.

    Attributes:
        problem: why what files hold is not in force, or None.
        on_refused: called instead of logging in again with what files hold.

    Raises:
        UsageError: a reference cannot be read or used.
    """

    def __init__(
        self,
        target: Target,
        lanes: Lanes,
        emit: Emit,
        *,
        tls: bool,
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self._target = target
        self._lanes = lanes
        self._emit = emit
        self._tls = tls
        self._has_followed = False
        self._now_ns = now_ns
        self._stamps = _look(target)
        self._held = read_credentials(target, tls=tls)
        self._is_half = False
        self._again_ns: int | None = None
        self._pause_ns = AGAIN_NS
        self._told: dict[tuple[str, int], str | None] = {}
        self._lock = asyncio.Lock()
        self.problem: str | None = None
        self.on_refused: Callable[[], None] | None = None

    def in_force(self, target: Target) -> Target:
        """Return the target whose references count, given the configured one.

        Lanes that have gone over to another cluster log in by what was said of that.
        """
        return self._target if self._has_followed else target

    @property
    def held(self) -> HeldSecrets:
        """Return what is in force."""
        return self._held

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self, *, by: str = "file") -> None:
        """Take what the files hold now, if they have changed and are usable."""
        async with self._lock:
            stamps = await asyncio.to_thread(_look, self._target)
            if stamps != self._stamps:
                await self._read(stamps, by)
            elif self._is_half:  # it is again what is in force
                self._is_half, self.problem = False, None
        if self._again_ns is not None and self._now_ns() >= self._again_ns:
            self._again_ns = None
            if self.on_refused is not None:
                self.on_refused()
            else:
                self._log_in(self._held.password)

    async def _read(self, stamps: _Stamps, by: str) -> None:
        try:
            held = await asyncio.to_thread(
                read_credentials, self._target, tls=self._tls
            )
        except (UsageError, OSError) as exc:
            # It may be half written: told if it is still so at the next look.
            if self._is_half:
                self._tell_problem(f"{exc}; what was read before stays in force")
            self._is_half = True
            return
        if await asyncio.to_thread(_look, self._target) != stamps:
            return  # changed while it was read: the next look sees to it
        self._stamps, self._is_half, self.problem = stamps, False, None
        self._take(held, by=by)

    async def change(self, target: Target, held: HeldSecrets) -> None:
        """Use the references of another configuration from now on.

        Args:
            target: with them; where it leads is not looked at.
            held: what they hold.
        """
        async with self._lock:
            is_other = target.username != self._target.username
            self._target = target
            self._stamps = await asyncio.to_thread(_look, target)
            self._is_half, self.problem = False, None
            if is_other:
                self._held = HeldSecrets(None, self._held.digests)
            self._take(held, by="reload")

    async def follow(self, target: Target) -> None:
        """Look after the references of another target, where the lanes log in now.

        What those of the former one hold is no matter of theirs any more.
        """
        async with self._lock:
            self._target, self._has_followed = target, True
            self._stamps = await asyncio.to_thread(_look, target)
            self._is_half, self.problem, self._again_ns = False, None, None
            self.on_refused = None
            try:
                self._held = await asyncio.to_thread(
                    read_credentials, target, tls=self._tls
                )
            except (UsageError, OSError) as exc:
                self._tell_problem(f"{exc}; what was read before stays in force")

    def _take(self, held: HeldSecrets, *, by: str) -> None:
        """Use what is held now instead of what was before."""
        before, self._held = self._held, held
        old, new = before.digests, held.digests
        what = [key for key in FILES if old.get(key) != new.get(key)]
        if what:
            self._lanes.use_certificates(self._target)
        if before.password != held.password:
            what.insert(0, "password")
            self._again_ns, self._pause_ns = None, AGAIN_NS
            self._log_in(held.password)
        if what:
            self._emit(CredentialsChanged(self._now_ns(), tuple(what), by))
            extra = {"lp_what": ", ".join(what), "lp_by": by}
            logger.info("credentials_changed", extra=extra)

    def _log_in(self, password: str | None) -> None:
        self._lanes.use_login(self._target.username, password, renew_s=0.0)

    def heard(self, message: LoginRenewed | CertificatesRefused) -> None:
        """Take what a probe says of credentials that were changed."""
        if isinstance(message, CertificatesRefused):
            self._tell_problem(f"probe process {message.process}: {message.reason}")
            # Read and told again at the next look.
            self._stamps, self._held = (), HeldSecrets(self._held.password, {})
            return
        now_ns, lane, process = self._now_ns(), message.lane, message.process
        reason = message.reason if message.refused else None
        if message.refused and self._again_ns is None:
            self._again_ns = now_ns + self._pause_ns
            self._pause_ns = min(2 * self._pause_ns, LONGEST_AGAIN_NS)
        if reason is not None and self._told.get((lane, process)) == reason:
            return  # still
        self._told[lane, process] = reason
        self._emit(
            LoginsRenewed(
                now_ns, lane, process, message.renewed, message.refused, message.reason
            )
        )
        if reason is not None:
            extra = {"lp_lane": lane, "lp_reason": reason}
            logger.warning("login_refused", extra=extra)

    def _tell_problem(self, text: str) -> None:
        text = f"credentials: {text}"
        if self.problem == text:
            return
        self.problem = text
        self._emit(RunProblem(self._now_ns(), self.problem))
        logger.error("credentials_refused", extra={"lp_problem": text})


def _look(target: Target) -> _Stamps:
    """Return what tells whether a file has changed: its id, time and size."""
    paths = [getattr(target, key) for key in ("password_file", *FILES)]
    return tuple(_stamp(path) for path in paths if path is not None)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as in outputs/http/web_access.py
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
