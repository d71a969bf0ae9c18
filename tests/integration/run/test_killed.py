"""Runs that are killed at any moment: the folder says what was certain a second ago.

A real server stops for known times under load. Then the supervisor, a probe or all of
them are killed, and what the folder says is laid beside what was done and what the run
told of itself while it lived. ``make kills`` does it 200 times.
"""

import os
import random
import signal
from pathlib import Path

import pytest

from loadprobe.outputs.report.report import render_json
from tests.support.bad_input import Servers, start
from tests.support.commands import assert_gone, family, start_run
from tests.support.going_on import go_on
from tests.support.killing import KINDS, LANE, kill_one, look_at

KILLS = 10

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]


async def reported(folder: Path) -> bytes:
    """Return what ``loadprobe report --json`` says."""
    process = await start("report", str(folder), "--json")
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return out.rstrip()


@pytest.mark.parametrize("number", range(KILLS))
async def test_nothing_that_was_certain_is_lost(
    servers: Servers, tmp_path: Path, number: int
) -> None:
    """After a kill everything sealed a second before is there, and nothing else is.

    The folder is readable, every outage in it has bounds that hold the truth, no
    process is left, and the next start goes on with it.
    """
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown if it fails
    killed = await kill_one(servers, tmp_path, KINDS[number % len(KINDS)], seed)
    found = look_at(killed)
    assert found.problems == []
    if number == 0:  # the command takes its time
        assert await reported(killed.folder) == render_json(found.report).rstrip()
    if number < len(KINDS):  # once for each kind: it takes five seconds
        assert await go_on(killed, found) == []


async def test_probes_that_are_stopped_do_not_outlive_a_killed_supervisor(
    servers: Servers, tmp_path: Path
) -> None:
    """Not one sends another arrival when it is continued: there is none any more."""
    run, _, _ = await start_run(servers, tmp_path, lanes=LANE)
    supervisor, *probes = family(run.pid)
    assert len(probes) == 2
    for probe in probes:
        os.kill(probe, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    await run.communicate()
    await assert_gone(probes)
