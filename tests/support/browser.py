"""A real browser that shows pages, and says what they asked for or complained about."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDE = {"width": 1280, "height": 900}


@dataclass(slots=True)
class Shown:
    """A page that is shown.

    Args:
        page: to be looked at and used.
        complaints: what it wrote to the console, and errors that nothing caught.
        requests: addresses that it asked for, its own left out.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def ask(self, code: str) -> Any:
        """Return what a piece of JavaScript gives."""
        return self.page.evaluate(code)

    @property
    def view(self) -> tuple[float, float]:
        """What the film shows, in ms from the zero of the page."""
        data = self.ask("() => ({...document.querySelector('canvas.film').dataset})")
        return float(data["from"]), float(data["to"])

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate(
            "() => new Promise(done =>"
            " requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def colours(self, row: int, y: int) -> list[tuple[int, ...]]:
        """Return the colours of a line of pixels of a row of the film."""
        flat = self.ask(
            f"""() => {{
              const canvas = document.querySelector('canvas.film');
              const [pen, y] = [canvas.getContext('2d'), {26 + 20 * row + y}];
              return [...pen.getImageData(0, y, canvas.width, 1).data];
            }}"""
        )
        return [tuple(flat[n : n + 3]) for n in range(0, len(flat), 4)]

    def colour(self, name: str) -> tuple[int, ...]:
        """Return a colour of the page's styles."""
        text = self.ask(
            "() => getComputedStyle(document.documentElement)"
            f".getPropertyValue('--{name}').trim()"
        )
        return tuple(bytes.fromhex(text.removeprefix("#")))


@contextmanager
def a_browser() -> Iterator[Browser]:
    """Yield a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def showing(browser: Browser, path: Path, **options: Any) -> Iterator[Shown]:
    """Yield a page from disk, once all of it is shown.

    Args:
        browser: shows it.
        path: the file; what follows ``#`` is a moment.
        options: of the browser's context.
    """
    address, _, moment = str(path).partition("#")
    url = Path(address).absolute().as_uri() + (f"#{moment}" if moment else "")
    with opened(browser, url, **options) as shown:
        shown.page.wait_for_selector("html[data-state=shown][data-film=shown]")
        shown.settle()
        yield shown


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Shown]:
    """Yield a page that begins to be shown.

    Args:
        browser: shows it.
        url: of the page.
        options: of the browser's context.
    """
    context = browser.new_context(**{"viewport": WIDE, **options})
    try:
        shown = Shown(context.new_page())

        def on_request(request: Request) -> None:
            if request.url.partition("#")[0] != url.partition("#")[0]:
                shown.requests.append(request.url)

        shown.page.on("request", on_request)
        shown.page.on("console", lambda message: shown.complaints.append(message.text))
        shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.page.on("dialog", lambda dialog: shown.complaints.append(dialog.message))
        shown.page.goto(url)
        yield shown
    finally:
        context.close()
