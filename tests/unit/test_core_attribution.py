"""Attribution: one row per rule, and one per way to miss it."""

from collections.abc import Sequence

import pytest

from loadprobe.core.attribution import (
    Cause,
    LaneFacts,
    Planned,
    attribute,
    make_context,
)
from loadprobe.core.cells import BlindSpan
from loadprobe.core.columns import Scope
from loadprobe.core.outages import Outage
from loadprobe.core.outcome import OpKind
from tests.unit.test_core_incidents import MS, outage

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
) -> LaneFacts:
    """Return a lane observed from ``begin`` to 9 s."""
    return LaneFacts(name, tls, is_witness, shards, begin * MS, 9_000 * MS, blind)


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
