"""Where a run can be watched: it is told, and opened in a browser if that is wanted."""

import threading
import webbrowser
from collections.abc import Callable
from contextlib import AsyncExitStack

from rich.console import Console

from loadprobe.errors import LoadprobeError
from loadprobe.outputs.http.reload import Reload
from loadprobe.run.plan import RunPlan
from loadprobe.run.published import Published
from loadprobe.run.succession import Succession


class Serving:
    """Serves a run to those who watch it.

    Args:
        plan: what is run.
        succession: where the segment before was served, if there was one.
        console: where the address is told.
        on_problem: told what keeps a further segment from being served: the load does
            not wait for that.
    """

    def __init__(
        self,
        plan: RunPlan,
        succession: Succession,
        *,
        console: Console,
        on_problem: Callable[[LoadprobeError], None],
    ) -> None:
        self._plan = plan
        self._succession = succession
        self._console = console
        self._on_problem = on_problem

    async def serve(
        self,
        published: Published,
        stack: AsyncExitStack,
        *,
        not_ready: Callable[[], str | None],
        reload: Reload,
    ) -> None:
        """Serve by HTTP until the stack is closed, and say where.

        Args:
            published: what is served.
            stack: ends it.
            not_ready: returns why the run is not ready, None if it is.
            reload: reads the configuration again.

        Raises:
            PreflightError: the address of the first segment cannot be used.
        """
        succession = self._succession
        is_further = succession.path is not None
        http = succession.http(self._plan.config.http)
        server = None
        try:
            server = await published.serve(
                http, stack, not_ready=not_ready, reload=reload
            )
        except LoadprobeError as exc:
            if not is_further:
                raise
            self._on_problem(exc)
        address = None if server is None else (server.host, server.port)
        if not is_further or address != succession.address:
            url = None if server is None else server.url
            is_opened = self._plan.is_opened and not is_further
            tell_address(self._console, url, is_opened=is_opened)
        succession.address = address


def tell_address(console: Console, url: str | None, *, is_opened: bool) -> None:
    """Tell the address of the live page, and open it if that is wanted.

    Args:
        console: where it is told.
        url: of the page; None if nothing is served.
        is_opened: open it.
    """
    if url is None:
        if is_opened:
            console.print('nothing can be opened: [http] listen is ""', markup=False)
        return
    console.print(f"Live: {url}", markup=False, highlight=False, soft_wrap=True)
    if is_opened:
        # Some browsers come back only when they are closed.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
