"""A command opens the API once, on one event loop, and closes it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from loadprobe.cli import app as cli
from loadprobe.config.keys import Control
from loadprobe.control.provider import clients
from loadprobe.control.provider.clients import open_clients
from loadprobe.control.scenario import file as scenario_file
from loadprobe.control.scenario.file import Scenario
from loadprobe.local.background import down, up
from loadprobe.local.serve import LocalOptions
from loadprobe.local.state import LocalState

SCENARIO = """
description = "nothing is changed"
baseline_s = 0.1
after_s = 0.1
[[lanes]]
name = "second"
workers = 2
rate_per_s = 50
[[expected]]
dark = ["tls"]
from_step = "hold"
[[steps]]
operation = "hold"
seconds = 0.1
"""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalState]:
    """Start a cluster of one node in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(folder))
        name = f"one-api-{os.getpid()}"
        options = LocalOptions(
            name, shards=1, replicas=0, tls_mode="none", die_with_parent=True
        )
        yield asyncio.run(up(options))
        asyncio.run(down(name))


class Counted:
    """What a command opens and checks.

    Attributes:
        loops: the loop of every opening.
        closed: how many of them were closed, each on its loop.
        checked: how often the lanes of a scenario were checked.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.closed = self.checked = 0
        check_lanes = scenario_file.check_lanes

        @asynccontextmanager
        async def opened(control: Control) -> AsyncIterator[tuple[Any, Any]]:
            self.loops.append(asyncio.get_running_loop())
            async with open_clients(control) as both:
                yield both
            assert asyncio.get_running_loop() is self.loops[-1]
            self.closed += 1

        def checked(scenario: Scenario, lanes: Any, *, where: str) -> None:
            self.checked += 1
            check_lanes(scenario, lanes, where=where)

        patch.setattr(clients, "open_clients", opened)
        patch.setattr(scenario_file, "check_lanes", checked)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--scenario"),
        ("run", "--dry-run", "--scenario"),
        ("run", "--wait", "10s", "--yes", "--scenario"),
    ],
)
def test_the_api_is_opened_once(
    local: LocalState,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    """The whole of a command needs one opening, and one look at the lanes."""
    config, scenario = tmp_path / "run.toml", tmp_path / "hold.toml"
    config.write_text(
        f'[control]\nreplication_group = "{local.replication_group_id}"\n'
        f'endpoint_url = "{local.endpoint_url}"\n[http]\nlisten = ""\n'
        f'[output]\ndir = "{tmp_path / "runs"}"\n'
        '[[lanes]]\nname = "first"\nworkers = 2\nrate_per_s = 50\n'
    )
    scenario.write_text(SCENARIO)
    counted = Counted(monkeypatch)
    command, *options = words
    arguments = ["loadprobe", command, str(config), *options, str(scenario)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert (len(counted.loops), counted.closed, counted.checked) == (1, 1, 1)
