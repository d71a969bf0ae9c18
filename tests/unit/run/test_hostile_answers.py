"""What is asked before a run: an answer that is none is told, with what to do."""

from typing import Any

import pytest

from loadprobe.config.keys import Config, Lane, Target
from loadprobe.drivers import resp
from loadprobe.run.asking import _ask
from loadprobe.run.target_checks import _cluster

CONFIG = Config(target=Target("127.0.0.1"), lanes=(Lane(name="tcp"),))
NODE = [b"127.0.0.1", 6379, b"a"]
STRANGE: list[object] = [
    b"text",
    [[0, 16383]],
    [[0, 10**12, NODE]],
    [[0, 5, [b"h", 10**9, b"a"]]],
    [[[], {}, NODE]],
]


class Asked:
    """A connection that answers PING, and CLUSTER SLOTS as given."""

    def __init__(self, slots: object) -> None:
        self._slots = slots

    async def request(self, command: bytes) -> object:
        """Answer."""
        if command == resp.PING:
            return resp.PONG
        if command == resp.CLUSTER_SLOTS:
            return self._slots
        return b"cluster_state:ok"


@pytest.mark.parametrize("slots", STRANGE)
async def test_a_preflight_tells_what_is_no_map(slots: object) -> None:
    """It fails, and does not end with a traceback."""
    connection: Any = Asked(slots)
    check = await _cluster(CONFIG, (), connection, "tcp", 6379)
    assert not check.passed
    assert "tells no view of the cluster" in check.detail
    assert len(check.detail) < 400


@pytest.mark.parametrize("slots", STRANGE[1:])
async def test_an_endpoint_that_is_asked_is_no_server(slots: object) -> None:
    """As one that speaks something else."""
    connection: Any = Asked(slots)
    answer = await _ask(connection, "host")
    assert not answer.is_served
    assert "not as Valkey or Redis does" in answer.failure
