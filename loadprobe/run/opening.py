"""Where a run can be watched: it is told, and opened in a browser if that is wanted."""

import threading
import webbrowser

from rich.console import Console


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
