"""Integers of more than 64 bits in a run folder: none is ever written.

JSON that is read may have them, JSON that is written may not, so they are refused where
they are read, with the key that holds them. Pure.
"""

import re
from collections.abc import Iterator

import msgspec

_POSSIBLY = re.compile(rb"-\d{19}|\d{20}")
_LEAST, _MOST = -(2**63), 2**64 - 1


def check_numbers(content: bytes) -> None:
    """Check that a document can be written again.

    Raises:
        ValueError: it has an integer of more than 64 bits, with its key.
    """
    if _POSSIBLY.search(content) is None:
        return
    check_values(msgspec.json.decode(content))


def check_values(document: object) -> None:
    """Check what was decoded, as ``check_numbers`` does.

    Raises:
        ValueError: it has an integer of more than 64 bits, with its key.
    """
    for key, number in _integers(document, ""):
        if not _LEAST <= number <= _MOST:
            raise ValueError(f"{key} is an integer of more than 64 bits")


def _integers(value: object, key: str) -> Iterator[tuple[str, int]]:
    """Yield every integer with its key, such as ``outages[3].start_ms``."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _integers(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _integers(inner, f"{key}[{index}]")
    elif isinstance(value, int):
        yield key, value
