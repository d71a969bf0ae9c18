"""What commands say on standard output and standard error.

Whatever is in it, it is shown and not obeyed (see ``harmless``). Nothing else in
loadprobe prints, but the consoles of ``outputs.live.console`` and the log.
"""

import sys

from loadprobe.harmless import harmless


def say(text: str, *, end: str = "\n") -> None:
    """Write to standard output."""
    print(harmless(text), end=end, flush=True)


def warn(text: str, *, end: str = "\n") -> None:
    """Write to standard error."""
    print(harmless(text), end=end, file=sys.stderr, flush=True)
