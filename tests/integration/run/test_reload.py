"""A run of the command whose configuration is read again while it measures."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.bad_input import (
    SECRET,
    Servers,
    config_of,
    document,
    environment,
    finish,
    run_folder,
)
from tests.support.commands import start_run
from tests.support.running import until
from tests.support.scraping import gauge
from tests.support.service_manager import Manager

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]


def end(process: asyncio.subprocess.Process | subprocess.Popen[bytes]) -> None:
    """End a run that is still there."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()


def journal(path: Path, kind: str) -> list[dict[str, Any]]:
    """Return the fields of all events of a kind."""
    lines = (run_folder(path) / "events.ndjson").read_bytes().splitlines()
    events = [orjson.loads(line) for line in lines[1:]]
    return [event["fields"] for event in events if event["kind"] == kind]


async def test_a_reload_by_signal_and_by_http(
    servers: Servers, tmp_path: Path, manager: Manager, ending: ExitStack
) -> None:
    """What can be swapped is, without a gap; a bad one changes nothing and is said."""
    process, path, url = await start_run(servers, tmp_path)
    ending.callback(end, process)
    good = path.read_text()
    begun = await gauge(url, "config_last_reload_success_timestamp_seconds")
    assert await gauge(url, "config_last_reload_successful") == 1
    manager.heard()

    path.write_text(
        good.replace(
            "rate_per_s = 100", "rate_per_s = 300\ndeadline_ms = 3000"
        ).replace("[slo]", "[slo]\navailability = 0.5")
    )
    process.send_signal(signal.SIGHUP)
    await until(lambda: bool(journal(path, "config_reloaded")), what="the reload")
    assert journal(path, "config_reloaded") == [
        {
            "changed": [
                "lanes.tcp.rate_per_s",
                "lanes.tcp.deadline_ms",
                "slo.availability",
            ],
            "by": "signal",
            "anew": [],
        }
    ]
    await until(lambda: bool(journal(path, "rate")), what="the other rate")
    (rate,) = journal(path, "rate")
    assert (rate["from_per_s"], rate["to_per_s"]) == (100, 300)
    heard: list[str] = []

    def is_ready_again() -> bool:
        heard.extend(manager.heard())
        return "READY=1" in heard

    await until(is_ready_again, what="readiness again")
    begins = [line for line in heard if line.startswith("RELOADING=1\nMONOTONIC_USEC=")]
    assert len(begins) == 1
    assert heard.index("READY=1") > heard.index(begins[0])

    (node,) = servers.closed.nodes
    await asyncio.sleep(0.2)  # what is due from now on has the other deadline
    node.pause()
    await asyncio.sleep(0.8)  # longer than the first one
    node.resume()

    path.write_text(good.replace('name = "tcp"', 'name = "tcp"\ntls = true'))
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/-/reload") as reply,
    ):
        assert reply.status == 400
        said = await reply.text()
    assert "lanes.tcp.tls: a run cannot change that" in said
    assert journal(path, "reload_refused") == [{"reason": said.strip(), "by": "http"}]
    assert await gauge(url, "config_last_reload_successful") == 0
    assert await gauge(url, "config_last_reload_success_timestamp_seconds") > begun

    process.send_signal(signal.SIGTERM)
    ended = await finish(process)
    assert ended.code == 0, ended
    summary = orjson.loads((run_folder(path) / "summary.json").read_bytes())
    assert [check["limit"] for check in summary["slo"]] == [0.5]
    assert summary["error_budget"]["target"] == 0.5
    assert document(path, "outages.json")["outages"] == []
    info = orjson.loads((run_folder(path) / "run.json").read_bytes())
    assert info["config"]["lanes"][0]["rate_per_s"] == 300
    assert info["config"]["lanes"][0]["deadline_ms"] == 3000
    assert info["lanes"][0]["deadline_ms"] == 3000
    assert SECRET not in ended.out + ended.err + said


async def test_a_terminal_that_is_gone(
    servers: Servers, tmp_path: Path, ending: ExitStack
) -> None:
    """SIGHUP of a terminal that was closed ends the run in order: nobody else would."""
    path = config_of(servers, tmp_path)
    main, terminal = pty.openpty()
    process = subprocess.Popen(  # noqa: ASYNC220 - it begins at once
        [sys.executable, "-m", "loadprobe", "run", str(path)],
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(),
    )
    ending.callback(end, process)
    os.close(terminal)
    os.set_blocking(main, False)

    def read() -> None:
        with suppress(OSError):
            os.read(main, 65_536)

    loop = asyncio.get_running_loop()
    loop.add_reader(main, read)  # or the terminal is full, and writing to it waits
    await until(
        lambda: bool(list((tmp_path / "runs").glob("*/series.ndjson"))),
        what="the run",
        within_s=60,
    )
    process.send_signal(signal.SIGHUP)  # the terminal is there: nothing ends
    await until(lambda: bool(journal(path, "config_reloaded")), what="the reload")
    loop.remove_reader(main)
    os.close(main)
    process.send_signal(signal.SIGHUP)
    await until(lambda: process.poll() is not None, what="the end of the run")
    summary = orjson.loads((run_folder(path) / "summary.json").read_bytes())
    assert not summary["ended_hard"]
