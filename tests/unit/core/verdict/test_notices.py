"""What notices say."""

import msgspec
import pytest

from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.notices import Notice, trial_notices
from loadprobe.core.verdict.occasions import OccasionKind
from tests.support.notices import SINCE_UNIX_NS, an_occasion, notice_of
from tests.support.outages import MS, outage


def test_an_opening() -> None:
    """Where, since when, how long so far, and from what the cause was told."""
    notice = notice_of(an_occasion())
    assert notice.id == "night-1/1"
    assert notice.title == "Dark: shard 0002, both lanes of db.example.com"
    assert notice.text == [
        "since 22:13:21.000 UTC, 3.0 s ago; dark for 2000 ms [1998, 2002] so far",
        "cause: shard; shard 0001 was served on lane tcp",
    ]
    assert notice.start_unix_ns == SINCE_UNIX_NS + 1000 * MS
    assert (notice.end_unix_ns, notice.is_all) == (None, False)
    assert (notice.lanes, notice.shards) == (["tcp", "tls"], ["0002"])
    assert notice.dark_now == [("tcp", "0002")]


def test_a_worsening_says_what_joined() -> None:
    """Lanes and shards that were in no notice before."""
    occasion = an_occasion(
        OccasionKind.WORSENED,
        number=2,
        places=(("tcp", "0001"), ("tcp", "0002"), ("tls", "0002")),
        joined=(("tcp", "0001"), ("tls", "0002")),
    )
    notice = notice_of(occasion)
    assert notice.title == "Worse: both shards, both lanes of db.example.com"
    assert notice.text[1] == "joined: lane tls; shard 0001"
    assert (notice.joined_lanes, notice.joined_shards) == (["tls"], ["0001"])
    assert notice.is_all


def test_a_closing() -> None:
    """How long it was dark, with error bars, and between when."""
    notice = notice_of(an_occasion(OccasionKind.CLOSED, number=3))
    assert notice.title == "Over: shard 0002, both lanes of db.example.com"
    assert notice.text[0] == (
        "dark for 2000 ms [1998, 2002] between 22:13:21.000 and 22:13:23.000 UTC"
    )
    assert notice.end_unix_ns == SINCE_UNIX_NS + 3000 * MS


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"kind": OccasionKind.LEFT},
            "the run ended while it was dark: how it goes on is not known",
        ),
        (
            {"kind": OccasionKind.CLOSED, "outages": (), "outage_count": 0},
            "the darkness was by plan after all",
        ),
        (
            {"is_resumed": True},
            "it began in an earlier run; the time between the runs was not seen",
        ),
        (
            {"outage_count": 5000},
            "at least: 5,000 outages, the times are of the first 1",
        ),
    ],
)
def test_what_has_to_be_said_besides(changes: dict[str, object], line: str) -> None:
    """What is not known, or turned out to be otherwise, is a line of its own."""
    notice = notice_of(an_occasion(**changes))  # type: ignore[arg-type]
    assert line in notice.text


def test_darkness_by_plan_is_called_so() -> None:
    """In the title, so that nobody runs."""
    notice = notice_of(an_occasion(is_planned=True))
    assert notice.title.startswith("Dark, by plan: shard 0002")


def test_many_names_are_cut() -> None:
    """A notice fits into a message, however many shards there are."""
    places = tuple(("tcp", f"{n:04}") for n in range(500))
    rows = tuple(outage(1000, 3000, shard=shard) for _, shard in places)
    occasion = an_occasion(
        number=2, places=places, joined=places[1:], dark_now=places, outages=rows
    )
    notice = notice_of(occasion, shards=[shard for _, shard in places])
    assert notice.title.startswith("Dark: all 500 shards, lane tcp")
    assert len(msgspec.json.encode(notice)) < 10_000


def test_a_notice_survives_the_disk() -> None:
    """What is read is what was written."""
    notice = notice_of(an_occasion(dark=DarkTime(1, 2, 3, 4)))
    text = msgspec.json.encode(notice)
    assert msgspec.json.decode(text, type=Notice) == notice


def test_a_trial_says_that_it_is_one() -> None:
    """Its two notices belong together, and to no incident."""
    opening, closing = trial_notices(
        run="night", target="db", probe_host="probe-1", lanes=["tcp"], now_ns=10**18
    )
    assert opening.incident == closing.incident
    assert opening.id != closing.id
    assert opening.is_test
    assert closing.is_test
    assert opening.title == "Test: no incident of db"
