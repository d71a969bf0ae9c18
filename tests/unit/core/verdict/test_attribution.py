"""Attribution: one row per rule, and one per way to miss it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind
from loadprobe.core.verdict.attribution import RULES, Cause, attribute
from loadprobe.core.verdict.beside import LaneFacts, Planned, make_context
from tests.support.outages import MS, outage
from tests.support.paths import ROOT

SHARDS = ("0001", "0002")
SELF = outage(1000, 2000)


def lane(
    name: str,
    *,
    tls: bool = False,
    is_witness: bool = True,
    shards: tuple[str, ...] = SHARDS,
    blind: Sequence[BlindSpan] = (),
    begin: int = 0,
    read_from: str = "primary",
) -> LaneFacts:
    """Return a lane observed from ``begin`` to 9 s."""
    span = begin * MS, 9_000 * MS
    return LaneFacts(name, tls, is_witness, shards, *span, blind, read_from)


TCP = lane("tcp")
TLS = lane("tls", tls=True)
APP = lane("app", is_witness=False)


@pytest.mark.parametrize(
    ("lanes", "others", "planned", "cause"),
    [
        pytest.param([TCP], [], [], Cause.SHARD, id="alone"),
        pytest.param(
            [lane("tcp", shards=("0001",))], [], [], Cause.SHARD, id="one shard"
        ),
        pytest.param(
            [TCP], [outage(900, 2100, shard="0002")], [], Cause.CLUSTER, id="all shards"
        ),
        pytest.param(
            [TCP],
            [outage(900, 2100, shard="0002", op=OpKind.WRITE)],
            [],
            Cause.CLUSTER,
            id="all shards, other op",
        ),
        pytest.param(
            [TCP],
            [outage(1900, 2100, shard="0002")],
            [],
            Cause.SHARD,
            id="brief overlap",
        ),
        pytest.param([TCP, TLS], [], [], Cause.TRANSPORT, id="other transport lit"),
        pytest.param(
            [TCP, TLS],
            [outage(900, 2100, shard="0002")],
            [],
            Cause.TRANSPORT,
            id="all shards of the lane, other transport lit",
        ),
        pytest.param(
            [TCP, TLS],
            [
                outage(900, 2100, shard="0002"),
                outage(1900, 2100, lane="tls"),
                outage(900, 2100, lane="tls", shard="0002"),
            ],
            [],
            Cause.CLUSTER,
            id="all shards, other transport lit for a part only",
        ),
        pytest.param(
            [TCP, TLS],
            [
                outage(900, 2100, shard="0002"),
                outage(900, 2100, lane="tls"),
                outage(900, 2100, lane="tls", shard="0002"),
            ],
            [],
            Cause.CLUSTER,
            id="all shards, both transports",
        ),
        pytest.param(
            [TCP, TLS],
            [outage(1100, 1900, lane="tls")],
            [],
            Cause.SHARD,
            id="both dark",
        ),
        pytest.param(
            [TCP, lane("tls", tls=True, shards=("0002",))],
            [],
            [],
            Cause.SHARD,
            id="other transport does not probe the shard",
        ),
        pytest.param(
            [TCP, lane("tls", tls=True, begin=1500)],
            [],
            [],
            Cause.SHARD,
            id="other transport began later",
        ),
        pytest.param(
            [
                TCP,
                lane("tls", tls=True, blind=[BlindSpan("tls", 1500 * MS, 1510 * MS)]),
            ],
            [],
            [],
            Cause.TRANSPORT,
            id="other transport was blind for a moment",
        ),
        pytest.param(
            [
                TCP,
                lane("tls", tls=True, blind=[BlindSpan("tls", 1400 * MS, 2100 * MS)]),
            ],
            [],
            [],
            Cause.SHARD,
            id="other transport was blind",
        ),
        pytest.param([TCP, lane("tcp2")], [], [], Cause.SHARD, id="same transport lit"),
        pytest.param(
            [TCP, lane("app", tls=True, is_witness=False)],
            [],
            [],
            Cause.SHARD,
            id="a client library is no witness",
        ),
        pytest.param(
            [TCP, TLS],
            [],
            [Planned("tcp", 0, 1600 * MS)],
            Cause.PLANNED,
            id="mostly planned",
        ),
        pytest.param(
            [TCP, TLS],
            [],
            [Planned("tcp", 0, 1400 * MS), Planned("tls", 0, 9000 * MS)],
            Cause.TRANSPORT,
            id="hardly planned",
        ),
        pytest.param(
            [TCP, TLS],
            [],
            [
                Planned("tcp", 0, 1300 * MS, "0001"),
                Planned("tcp", 1500 * MS, 1900 * MS),
            ],
            Cause.PLANNED,
            id="planned in parts",
        ),
        pytest.param(
            [TCP, TLS],
            [],
            [Planned("tcp", 0, 9000 * MS, "0002")],
            Cause.TRANSPORT,
            id="another shard was planned",
        ),
    ],
)
def test_witness_lane(
    lanes: list[LaneFacts], others: list[Outage], planned: list[Planned], cause: Cause
) -> None:
    """The first rule that holds names the cause."""
    context = make_context(lanes, [SELF, *others], planned)
    attribution = attribute(SELF, context)
    assert attribution.cause is cause
    assert attribution.evidence


def test_client_lane_dark_while_the_witness_is_lit() -> None:
    """What only a client library sees is the client's doing, even on all shards."""
    mine = outage(1000, 2000, lane="app")
    other = outage(1000, 2000, lane="app", shard="0002")
    context = make_context([APP, TCP], [mine, other])
    attribution = attribute(mine, context)
    assert attribution.cause is Cause.CLIENT
    assert attribution.evidence == "witness lane tcp was served on shard 0001"


def served(scope: Scope, start_ns: int, end_ns: int) -> int:
    """Return a number that tells what was asked for."""
    assert (start_ns, end_ns) == (SELF.start_ns, SELF.end_ns)
    assert scope.op is OpKind.READ
    return 1_000 * int(scope.shard)


@pytest.mark.parametrize(
    ("lanes", "shards", "evidence"),
    [
        (
            [APP, TCP],
            ["app 0001"],
            (
                "witness lane tcp was served on shard 0001, 1,000 arrivals in these "
                "seconds"
            ),
        ),
        (
            [APP, TLS],
            ["app 0001"],
            (
                "witness lane tls was served on shard 0001, 1,000 arrivals in these "
                "seconds"
            ),
        ),
        (
            [TCP, TLS],
            ["tcp 0001", "tcp 0002"],
            "lane tls (TLS) was served on shard 0001, 1,000 arrivals in these seconds",
        ),
        (
            [TCP],
            ["tcp 0001"],
            "shard 0002 was served on lane tcp, 2,000 arrivals in these seconds",
        ),
        (
            [lane("tcp", shards=("0001", "0002", "0003"))],
            ["tcp 0001"],
            (
                "shards 0002, 0003 were served on lane tcp, 5,000 arrivals in these "
                "seconds"
            ),
        ),
        (
            [lane("tcp", shards=("0001", "0002", "0003"))],
            ["tcp 0001", "tcp 0003"],
            "shard 0002 was served on lane tcp, 2,000 arrivals in these seconds",
        ),
        (
            [TCP],
            ["tcp 0001", "tcp 0002"],
            "all 2 shards were dark on lane tcp",
        ),
    ],
)
def test_evidence_says_what_was_served_and_how_much(
    lanes: list[LaneFacts], shards: list[str], evidence: str
) -> None:
    """The lane and the shards that were lit meanwhile are named, with arrivals."""
    places = [place.split() for place in shards]
    outages = [outage(1000, 2000, lane=name, shard=shard) for name, shard in places]
    context = make_context(lanes, outages, served=served)
    assert attribute(outages[0], context).evidence == evidence


def test_client_lane_dark_with_the_witness() -> None:
    """What the witness sees as well is not the client's doing."""
    mine = outage(1000, 2000, lane="app")
    context = make_context([APP, TCP], [mine, SELF])
    assert attribute(mine, context).cause is Cause.SHARD


@pytest.mark.parametrize("name", ["tcp", "app"])
@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (ErrorClass.AUTH, Cause.ACCESS, "refused for login or permission"),
        (ErrorClass.DNS, Cause.PATH, "DNS did not resolve the name"),
    ],
)
def test_what_most_arrivals_failed_with_names_access_and_path(
    name: str, error: ErrorClass, cause: Cause, words: str
) -> None:
    """A refused login and a broken name are told whatever else was dark or lit."""
    mine = replace(
        outage(1000, 2000, lane=name),
        failed=10,
        classes={error: 6, ErrorClass.RESET: 4},
    )
    for others in ([], [outage(900, 2100, lane=name, shard="0002")]):
        found = attribute(mine, make_context([TCP, TLS, APP], [mine, *others]))
        assert found.cause is cause
        assert found.evidence.startswith("6 of 10 arrivals")
        assert words in found.evidence
    hardly = replace(mine, classes={error: 4, ErrorClass.RESET: 6})
    lanes = [lane(name, is_witness=name == "tcp")]
    assert attribute(hardly, make_context(lanes, [hardly])).cause is Cause.SHARD


@pytest.mark.parametrize(
    ("read_from", "cause"),
    [("any", Cause.SHARD), ("primary", Cause.SHARD), ("replica", Cause.TRANSPORT)],
)
def test_reads_that_go_elsewhere_say_nothing_of_a_transport(
    read_from: str, cause: Cause
) -> None:
    """Replicas that are gone leave reads from any node lit: no transport is broken."""
    mine = outage(1000, 2000, op=OpKind.REPLICA_READ)
    lanes = [
        lane("tcp", read_from="replica"),
        lane("tls", tls=True, read_from=read_from),
    ]
    assert attribute(mine, make_context(lanes, [mine])).cause is cause


def test_causes_are_a_closed_table() -> None:
    """Every cause has one rule, in the order of its row in the documentation.

    The probe's has none: blind time is no outage.
    """
    docs = ROOT / "docs" / "measuring.md"
    section = docs.read_text().partition("\n## Causes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \*\*(\w+)\*\* \|", section, re.MULTILINE)
    told = [(rule.__doc__ or "").partition(":")[0].lower() for rule in RULES]
    assert rows == [*told, Cause.PROBE]
    assert sorted(rows) == sorted(Cause)


def test_a_witness_that_was_blind_clears_nobody_and_blames_nobody() -> None:
    """A client is not to blame for what its witness did not look at."""
    blind = lane("tcp", blind=[BlindSpan("tcp", 900 * MS, 2_100 * MS)])
    own = replace(SELF, scope=SELF.scope._replace(lane="app"))
    found = attribute(own, make_context([blind, APP], [own]))
    assert found.cause is Cause.SHARD
    assert "tcp" not in found.evidence
    half = lane("tcp", blind=[BlindSpan("tcp", 900 * MS, 1_400 * MS)])
    assert attribute(own, make_context([half, APP], [own])).cause is Cause.CLIENT


REFUSED = {ErrorClass.READONLY: 60, ErrorClass.RESET: 40}


@pytest.mark.parametrize(
    ("given", "others", "per_write", "cause"),
    [
        ({}, [], 1.0, Cause.WRITES),
        ({}, [outage(900, 2100, shard="0002", op=OpKind.WRITE)], 1.0, Cause.WRITES),
        ({}, [outage(900, 1100)], 1.0, Cause.SHARD),
        ({}, [outage(2100, 2200)], 1.0, Cause.WRITES),
        ({}, [], 0.0, Cause.SHARD),
        ({}, [], 0.04, Cause.SHARD),
        ({"classes": {ErrorClass.READONLY: 49, ErrorClass.RESET: 51}}, [], 1.0, None),
        ({"op": OpKind.READ}, [], 1.0, None),
    ],
)
def test_writes_alone(
    given: dict[str, Any],
    others: Sequence[Outage],
    per_write: float,
    cause: Cause | None,
) -> None:
    """Refused by the server while reads of the shard were due, and none failed."""
    plain = outage(1000, 2000, op=given.get("op", OpKind.WRITE))
    own = replace(plain, classes=given.get("classes", REFUSED), failed=100)
    reads = {("tcp", "0001"): per_write}
    context = make_context([TCP], [own, *others], reads=reads)
    found = attribute(own, context)
    assert found.cause == (cause or Cause.SHARD)
    if cause is Cause.WRITES:
        assert found.evidence == (
            "60 of 100 writes were refused (mostly readonly), and all reads of shard "
            "0001 on lane tcp were served"
        )
