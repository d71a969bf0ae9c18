"""What a process that comes later knows of a key: see ``probe.remembering``. Pure."""

from typing import NamedTuple


class Remembered(NamedTuple):
    """An acknowledged write.

    Attributes:
        version: it, or a newer one, is there.
        set_ns: when its TTL began, or later; on the clock of ``Lifetimes``.
    """

    version: int
    set_ns: int
