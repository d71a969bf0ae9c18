"""Waiting for a cluster that is not there yet: asked again until it is, or time is up.

Only for what may change by itself: an address that is not known, a port that nobody
serves, a group that is being created. What has to be put right here is refused at once.
"""

import asyncio

from rich.console import Console

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Config
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.scenario.file import Scenario
from loadprobe.core.verdict.texts import duration_text
from loadprobe.errors import NotThereYet
from loadprobe.run.endings import STOPPED_EARLY
from loadprobe.run.plan import RunOptions
from loadprobe.run.preparing import prepare
from loadprobe.signals import EXIT_INTERRUPTED, Stopping

_PAUSE_S = 1.0
_TOO_EARLY = (
    "the configuration is not read again while the cluster is waited for; ask again "
    "when the load has begun"
)
_TOLD_EVERY_NS = 10 * NS_PER_S


async def wait_until_there(
    config: Config,
    scenario: Scenario | None,
    shared: SharedApi,
    *,
    wait_s: float,
    console: Console,
    is_reloaded: bool = False,
) -> int | None:
    """Return when a run could begin.

    Args:
        config: what is to be measured.
        scenario: what is to be done to the cluster, or None; its lanes are in the
            configuration.
        shared: the API of the group, which stays open.
        wait_s: how long to wait.
        console: gets a line when the reason changes, and every ten seconds.
        is_reloaded: SIGHUP asks for the configuration to be read again, and ends
            nothing. It is not read again before the load begins.

    Returns:
        None; the exit code if a signal ended the waiting.

    Raises:
        UsageError: something is wrong that waiting does not put right, or the time is
            up.
    """
    stopping = Stopping(is_reloaded=is_reloaded)
    with stopping.caught():
        telling = asyncio.create_task(_tell_of_hangups(stopping, console))
        try:
            await stopping.unless_set(_wait(config, scenario, shared, wait_s, console))
        finally:
            telling.cancel()
    if not stopping.is_set:
        return None
    console.print(STOPPED_EARLY)
    return EXIT_INTERRUPTED if stopping.is_urged else 0


async def _wait(
    config: Config,
    scenario: Scenario | None,
    shared: SharedApi,
    wait_s: float,
    console: Console,
) -> None:
    begun_ns = mono_now_ns()
    give_up_ns = begun_ns + int(wait_s * NS_PER_S)
    told, told_ns = "", begun_ns
    while True:
        try:
            await prepare(config, RunOptions(scenario=scenario), shared)
        except NotThereYet as exc:
            now_ns = mono_now_ns()
            waited = duration_text(now_ns - begun_ns)
            if now_ns >= give_up_ns:
                raise NotThereYet(f"{exc} (waited for {waited})") from exc
            if str(exc) != told or now_ns - told_ns >= _TOLD_EVERY_NS:
                told, told_ns = str(exc), now_ns
                left = duration_text(give_up_ns - now_ns)
                console.print(
                    f"waiting for the cluster, {waited} so far, at most {left} more: "
                    f"{exc}",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
        else:
            return
        await asyncio.sleep(_PAUSE_S)


async def _tell_of_hangups(stopping: Stopping, console: Console) -> None:
    while True:
        await stopping.hangup.wait()
        stopping.hangup.clear()
        console.print(_TOO_EARLY, markup=False, highlight=False, soft_wrap=True)
