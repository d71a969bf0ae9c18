"""The console of all that is shown with columns or colours."""

import sys
from collections.abc import Iterable
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from loadprobe.harmless import harmless
from loadprobe.outputs.live.sturdy import SturdyOutput

PLAIN_WIDTH = 100
"""Columns of what is not written to a terminal, which has no width of its own."""


class HarmlessConsole(Console):
    """A console that shows texts and obeys none: no escapes, no markup, no emoji.

    What it is given to show comes from servers, providers and run folders, too.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is to be written; its own movements of the cursor stay."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)


def make_console() -> Console:
    """Return a console on standard output, wide enough for tables if it is a file."""
    output = cast("TextIO", SturdyOutput(sys.stdout))
    console = HarmlessConsole(file=output, markup=False, emoji=False)
    if console.is_terminal:
        return console
    return HarmlessConsole(file=output, markup=False, emoji=False, width=PLAIN_WIDTH)
