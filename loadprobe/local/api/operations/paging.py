"""Pages of long lists: MaxRecords and Marker."""

from collections.abc import Sequence
from typing import TypeVar

from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault

_T = TypeVar("_T")
_FEWEST_RECORDS, _MOST_RECORDS = 20, 100


def page(items: Sequence[_T], params: Params) -> tuple[Sequence[_T], dict[str, str]]:
    """Return one page of items, and the marker of the next one if there is one.

    The marker is the position of the next item.
    """
    first, most = marker(params), max_records(params)
    after = first + most
    return items[first:after], {"Marker": str(after)} if after < len(items) else {}


def marker(params: Params) -> int:
    """Return the request's Marker, 0 without one."""
    return read_marker(params.get("Marker"), "Marker")


def read_marker(given: str | None, member: str) -> int:
    """Return the position that a marker tells, 0 for none."""
    given = given or "0"
    if not (given.isascii() and given.isdecimal()):
        raise ApiFault("InvalidParameterValue", f"{member} {given!r} is not valid.")
    return int(given)


def max_records(params: Params) -> int:
    """Return the request's MaxRecords, 100 without one."""
    most = int(params.get("MaxRecords", _MOST_RECORDS))
    if not _FEWEST_RECORDS <= most <= _MOST_RECORDS:
        raise ApiFault(
            "InvalidParameterValue",
            f"MaxRecords is {most}: it must be {_FEWEST_RECORDS} to {_MOST_RECORDS}.",
        )
    return most
