"""Which keys are compared: those with a prefix, and of them a sample.

Pure. A sample is chosen by a checksum of the name: both directions look at the same
keys, and so does the next comparison.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

_RANGE = 1 << 32
_SPECIAL = re.compile(rb"[\\*?\[\]^-]")


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of keys.

    Args:
        prefix: what their names begin with; b"" for all.
        share: of those the share that is looked at, above 0 and up to 1.
    """

    prefix: bytes = b""
    share: float = 1.0

    @property
    def pattern(self) -> bytes | None:
        """Return what SCAN is to match; None: anything."""
        if not self.prefix:
            return None
        return _SPECIAL.sub(rb"\\\g<0>", self.prefix) + b"*"

    def of(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return those that are chosen."""
        prefix = self.prefix
        chosen = [key for key in keys if key.startswith(prefix)] if prefix else keys
        if self.share >= 1.0:
            return list(chosen)
        bound = self.share * _RANGE
        return [key for key in chosen if crc32(key) < bound]
