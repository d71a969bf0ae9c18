"""What all tests share: the event loop the product runs on, patience for slow machines.

Fixtures that start servers stand beside the tests that use them, or in their folder.
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import settings

# What helpers assert is shown with its values, too; only before they are imported.
pytest.register_assert_rewrite("tests.support")

from tests.support.examples import FACTOR  # noqa: E402

# A shared machine may stop for longer than any deadline; pytest-timeout ends a hang.
settings.register_profile("loadprobe", deadline=None, max_examples=100 * FACTOR)
settings.load_profile("loadprobe")


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on uvloop, as supervisor and probes do."""
    return {"uvloop": uvloop.new_event_loop}
