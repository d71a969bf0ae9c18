"""The configuration of a soak, changed and read again every few minutes."""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.chaos.stage import Running
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Config
from loadprobe.core.events import ConfigReloaded, ReloadRefused
from loadprobe.outputs.folder.reader import PastEvent
from tests.support.run_command import to_toml

_WITHIN_S = 30.0
_LOOK_S = 0.2
_METRIC = "loadprobe_config_last_reload_success"


@dataclass(slots=True)
class Reloads:
    """What was asked for, and what came of it.

    Args:
        good: configurations that had to be taken.
        bad: those that had to be refused.
        problems: what went otherwise, in words.
    """

    good: int = 0
    bad: int = 0
    problems: tuple[str, ...] = ()


async def reload_for_ever(
    running: Running,
    path: Path,
    config: Config,
    reloads: Reloads,
    *,
    every_s: float,
    say: Callable[[str], None],
) -> None:
    """Have another configuration read again and again.

    In turn by signal and by HTTP: the lanes are given a fifth more to do, and less
    again; every fifth file has an error, and has to be refused as a whole.

    Args:
        running: the command.
        path: its configuration.
        config: what is in it first.
        reloads: takes what came of it.
        every_s: from one to the next.
        say: takes lines of progress.
    """
    due_ns = mono_now_ns()
    turns = zip(
        cycle((1.2, 1.0)),
        cycle((False,) * 4 + (True,)),
        cycle((True, False)),
        strict=False,
    )
    for factor, is_bad, by_signal in turns:
        due_ns += round(every_s * NS_PER_S)
        await asyncio.sleep(max(0, due_ns - mono_now_ns()) / NS_PER_S)
        text = to_toml(_changed(config, factor))
        text += "\n[nonsense]\n" if is_bad else ""
        await asyncio.to_thread(path.write_text, text)
        if is_bad:
            reloads.bad += 1
        else:
            reloads.good += 1
        said = await (_by_signal if by_signal else _by_http)(running, is_bad=is_bad)
        if said:
            reloads.problems = (*reloads.problems, said)
        say(f"reload: {said or ('refused' if is_bad else 'in force')}")


def _changed(config: Config, factor: float) -> Config:
    """Return a configuration with other rates, and another threshold."""
    lanes = tuple(
        msgspec.structs.replace(lane, rate_per_s=lane.rate_per_s * factor)
        for lane in config.lanes
    )
    slo = msgspec.structs.replace(config.slo, max_outage_ms=round(60_000 * factor))
    return msgspec.structs.replace(config, lanes=lanes, slo=slo)


async def _by_http(running: Running, *, is_bad: bool) -> str:
    """Reload by HTTP; return what went wrong."""
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.post(f"{running.url}/-/reload") as reply:
                text = await reply.text()
        except (aiohttp.ClientError, TimeoutError) as exc:
            return f"no answer: {type(exc).__name__} {exc}"
    wanted = 400 if is_bad else 200
    return "" if reply.status == wanted else f"{reply.status} {text.strip()}"


async def _by_signal(running: Running, *, is_bad: bool) -> str:
    """Reload by SIGHUP; return what went wrong."""
    before = await _shown(running)
    running.process.send_signal(signal.SIGHUP)
    give_up_ns = mono_now_ns() + round(_WITHIN_S * NS_PER_S)
    while mono_now_ns() < give_up_ns:
        await asyncio.sleep(_LOOK_S)
        now = await _shown(running)
        if now is None or before is None:
            continue
        is_new = now[1] > before[1]
        if (now[0] == 0.0) if is_bad else (now[0] == 1.0 and is_new):
            return ""
    return f"no reload within {_WITHIN_S:g} s of SIGHUP"


async def _shown(running: Running) -> tuple[float, float] | None:
    """Return whether the last reload was successful, and when one was."""
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.get(f"{running.url}/metrics") as reply:
                page = await reply.text()
        except (aiohttp.ClientError, TimeoutError):
            return None
    found = dict(re.findall(rf"^{_METRIC}(\w+)\{{.*\}} (\S+)$", page, re.MULTILINE))
    return float(found["ful"]), float(found["_timestamp_seconds"])


def check_journal(events: Iterable[PastEvent], reloads: Reloads) -> None:
    """See that the journal has what came of each."""
    kinds = Counter(type(past.event) for past in events)
    told = kinds[ConfigReloaded], kinds[ReloadRefused]
    if told != (reloads.good, reloads.bad):
        reloads.problems = (*reloads.problems, f"the journal has {told}")
