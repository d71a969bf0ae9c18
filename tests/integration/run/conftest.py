"""What runs of the command are tested with: a server, a service manager, an end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.bad_input import Servers, serving
from tests.support.service_manager import Manager


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Start one server for all tests of a module."""
    async with serving(tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Be the service manager of the next command."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    """Return what ends processes, also if the test fails."""
    with ExitStack() as stack:
        yield stack
