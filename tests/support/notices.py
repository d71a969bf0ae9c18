"""Notices as values."""

from typing import Any

import msgspec

from loadprobe.clock import ClockPair
from loadprobe.core.verdict.attribution import Attribution, Cause
from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.notices import Notice, make_notice
from loadprobe.core.verdict.occasions import Occasion, OccasionKind
from tests.support.outages import MS, outage

SINCE_UNIX_NS = 1_700_000_000_000_000_000


def an_occasion(kind: OccasionKind = OccasionKind.OPENED, **more: Any) -> Occasion:
    """Return an occasion of an incident of two seconds on one shard of two lanes."""
    plain: dict[str, Any] = {
        "kind": kind,
        "incident": "night-1",
        "number": 1,
        "at_ns": 4000 * MS,
        "start_ns": 1000 * MS,
        "end_ns": 3000 * MS if kind is OccasionKind.CLOSED else None,
        "dark": DarkTime(1998 * MS, 2000 * MS, 2002 * MS),
        "places": (("tcp", "0002"), ("tls", "0002")),
        "joined": (),
        "dark_now": (("tcp", "0002"),),
        "outages": (outage(1000, 3000, shard="0002"),),
        "outage_count": 1,
    }
    return Occasion(**(plain | more))


def notice_of(occasion: Occasion, **more: Any) -> Notice:
    """Return the notice of an occasion."""
    plain: dict[str, Any] = {
        "clock": ClockPair(0, SINCE_UNIX_NS),
        "run": "night",
        "target": "db.example.com",
        "probe_host": "probe-1",
        "lanes": ("tcp", "tls"),
        "shards": ("0001", "0002"),
        "attribution": Attribution(Cause.SHARD, "shard 0001 was served on lane tcp"),
    }
    return make_notice(occasion, **(plain | more))


def a_notice(number: int = 1, **changes: Any) -> Notice:
    """Return a notice of its number."""
    notice = notice_of(an_occasion(number=number))
    return msgspec.structs.replace(notice, **changes)
