"""One open API for all that a command does about a group.

Opening it takes calls, and creating its clients blocks the event loop for about 300 ms,
so a command that looks at a group before it runs does not open it again for the run.
"""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from loadprobe.config.keys import Control
from loadprobe.control.provider.api import ElastiCacheApi, open_api


class SharedApi:
    """The API of one group, opened when it is first asked for.

    To be used, and closed, in one event loop.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._api: ElastiCacheApi | None = None
        self._control: Control | None = None

    async def open(
        self, control: Control, *, must_exist: bool = True
    ) -> ElastiCacheApi:
        """Return the open API; one that could not be opened is tried again.

        Args:
            control: the group; the same in every call.
            must_exist: False for a group that is to be created.

        Raises:
            ControlError: it is not open yet, and the group cannot be described.
        """
        if self._api is None:
            opening = open_api(control, must_exist=must_exist)
            self._api = await self._stack.enter_async_context(opening)
            self._control = control
        assert control == self._control, "a command is about one group"
        return self._api

    async def aclose(self) -> None:
        """Close what is open; nothing happens the second time."""
        self._api = None
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        """Return itself; nothing is opened."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what is open."""
        await self.aclose()
