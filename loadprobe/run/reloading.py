"""The configuration of a run, read again while it lasts: all of it, or nothing.

It is read and checked as at the start, with what it refers to. What differs is swapped
without a gap, if it can be; for the rest the run goes over into a new segment. One key
that is of another run has all of it refused.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from loadprobe.clock import NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.config.changes import ChangedKeys, changes
from loadprobe.config.keys import Config, Target
from loadprobe.core.events import ConfigReloaded, Emit, ReloadRefused
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.seed import Bystander
from loadprobe.errors import LoadprobeError, UsageError
from loadprobe.outputs.webhooks.reach import prepare_receiver
from loadprobe.run.credentials import HeldSecrets, read_credentials
from loadprobe.run.plan import Reread

BY_SIGNAL = "signal"
MOST_IDLE = 10_000
"""Reloads of one segment that changed nothing and are events: each is a line on a disk
that others need as well, and whoever may ask for one may ask without end."""

logger = logging.getLogger(__name__)

Swapping = Callable[[Config, ChangedKeys, HeldSecrets], Awaitable[None]]
"""Has a configuration in force, given what differs in it and what it refers to."""

GoingOver = Callable[[Config, ChangedKeys], Awaitable[None]]
"""Has all ready for a new segment with a configuration, given what differs in it."""


class HeldCredentials(Protocol):
    """Who looks after the credentials in force."""

    @property
    def held(self) -> HeldSecrets:
        """What is in force."""

    def in_force(self, target: Target) -> Target:
        """Return the target whose references count, given the configured one."""


class Gauges(Protocol):
    """Where it is shown whether the last reload was successful."""

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Set one series."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What became of reading the configuration again.

    Args:
        is_done: it is in force.
        text: for people: what changed, or why it was refused.
    """

    is_done: bool
    text: str


class Reloading:
    """Reads the configuration of a run again (see the module).

    Args:
        config: as it was read last.
        reread: reads it again; None if there is nothing to read.
        swap: has the run go by it.
        go_over: has the run go over into a new segment with it.
        emit: where events go.
        metrics: where it is shown.
        credentials: those in force. Lanes that have gone over to another cluster log in
            there: what the configuration refers to is of the former one.
    """

    def __init__(
        self,
        config: Config,
        reread: Reread | None,
        swap: Swapping,
        *,
        go_over: GoingOver,
        emit: Emit,
        metrics: Gauges,
        credentials: HeldCredentials,
    ) -> None:
        self._credentials = credentials
        self._config = config
        self._reread = reread
        self._swap = swap
        self._go_over = go_over
        self._emit = emit
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._is_left = False
        self._idle = 0
        self._show(is_done=True)

    async def settled(self) -> None:
        """Wait until what is asked for is done, or refused."""
        async with self._lock:
            return

    async def reload(self, *, by: str) -> Reloaded:
        """Read the configuration again; never raises for what is wrong with it."""
        async with self._lock:
            try:
                what = await self._reload()
            except LoadprobeError as exc:
                text = str(exc)
                self._note_idle(ReloadRefused(mono_now_ns(), text, by))
                extra = {"lp_reason": text, "lp_by": by}
                logger.error("reload_refused", extra=extra)  # noqa: TRY400
                self._show(is_done=False)
                return Reloaded(False, text)
            note = self._emit if what.changed else self._note_idle
            note(ConfigReloaded(mono_now_ns(), what.changed, by, what.anew))
            keys, anew = ", ".join(what.changed), ", ".join(what.anew)
            extra = {"lp_changed": keys, "lp_anew": anew, "lp_by": by}
            logger.info("config_reloaded", extra=extra)
            self._show(is_done=True)
            if not keys:
                return Reloaded(True, "nothing has changed")
            also = f"; a new segment begins for: {anew}" if anew else ""
            return Reloaded(True, f"changed: {keys}{also}")

    def _note_idle(self, event: ConfigReloaded | ReloadRefused) -> None:
        """Put a reload that changed nothing into the journal, unless it has enough."""
        self._idle += 1
        if self._idle <= MOST_IDLE:
            self._emit(event)

    async def _reload(self) -> ChangedKeys:
        """Return what has changed, and is in force.

        Raises:
            LoadprobeError: something is wrong, and nothing has changed.
        """
        if self._is_left:
            raise UsageError("a new segment is about to begin: ask again in a second")
        if self._reread is None:
            raise UsageError("this run has no configuration file to read again")
        config = await asyncio.to_thread(self._reread)
        what = changes(self._config, config)
        if what.fixed:
            raise UsageError(
                f"{', '.join(what.fixed)}: a run cannot change that; nothing was "
                "changed, start another run for it, in another folder or by another "
                "name, or give the lane another name"
            )
        counting, counted = self._in_force(config), self._in_force(self._config)
        held = await check_again(counting)
        before = self._credentials.held.password, counted.target.username
        if before != (held.password, counting.target.username):
            await _try_login(counting, held)
        if what.anew:
            await self._go_over(config, what)
            self._is_left = True
        else:
            await self._swap(config, what, held)
        self._config = config
        return what

    def _in_force(self, config: Config) -> Config:
        """Return a configuration with the target whose references count."""
        target = self._credentials.in_force(config.target)
        return msgspec.structs.replace(config, target=target)

    def _show(self, *, is_done: bool) -> None:
        self._metrics.set("config_last_reload_successful", value=float(is_done))
        if is_done:
            name = "config_last_reload_success_timestamp_seconds"
            self._metrics.set(name, value=wall_now_ns() / NS_PER_S)


async def check_again(config: Config) -> HeldSecrets:
    """Check what a configuration refers to, as at the start.

    Args:
        config: its keys are right.

    Returns:
        What the references of its target hold.

    Raises:
        UsageError: a file or variable cannot be used.
    """
    uses_tls = any(lane.tls for lane in config.lanes)
    held = await asyncio.to_thread(read_credentials, config.target, tls=uses_tls)
    for webhook in config.webhooks:
        await asyncio.to_thread(prepare_receiver, webhook)
    return held


async def _try_login(config: Config, held: HeldSecrets) -> None:
    """Log in at the endpoint; one that cannot be reached now is no reason to refuse.

    Raises:
        UsageError: the login is refused.
    """
    target = config.target
    if not target.host or held.password is None:
        return
    uses_tls = all(lane.tls for lane in config.lanes)
    context = await asyncio.to_thread(make_context, target) if uses_tls else None
    dialer = Dialer(target, context, held.password, config.probe.connect_timeout_ms)
    owner = Bystander()
    port = target.port_of(tls=uses_tls)
    made = await dialer.dial(target.host, port, lambda: Connection(owner, owner, None))
    if not isinstance(made, DialFailure):
        made.abort()
    elif made.error is ErrorClass.AUTH:
        raise UsageError(
            f"target.password: {target.host}:{port} refuses it ({made.detail}); make "
            "it valid there first"
        )
