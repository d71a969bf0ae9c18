"""Where a run can be watched is told, and opened only if that is wanted."""

import io
import threading
import webbrowser

import pytest
from rich.console import Console

from loadprobe.run.opening import tell_address


@pytest.mark.parametrize("is_opened", [False, True])
def test_the_address(is_opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser is started for its address, and for nobody who did not ask."""
    opened: list[str] = []
    is_done = threading.Event()

    def note(url: str) -> bool:
        opened.append(url)
        is_done.set()
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    out = io.StringIO()
    url = "http://[::1]:9121/"
    tell_address(Console(file=out, width=10), url, is_opened=is_opened)
    assert out.getvalue() == f"Live: {url}\n"
    if is_opened:
        assert is_done.wait(10)
    assert opened == ([url] if is_opened else [])


def test_without_an_address_there_is_nothing_to_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is said if it was asked for, else nothing is."""
    monkeypatch.setattr(webbrowser, "open", pytest.fail)
    out = io.StringIO()
    tell_address(Console(file=out, width=80), None, is_opened=False)
    assert out.getvalue() == ""
    tell_address(Console(file=out, width=80), None, is_opened=True)
    assert out.getvalue() == 'nothing can be opened: [http] listen is ""\n'
