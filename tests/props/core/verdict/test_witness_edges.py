"""Cutting outages of client lanes at the witness's edges, and whose the parts are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.attribution import Cause, attribute
from loadprobe.core.verdict.beside import LaneFacts, make_context
from loadprobe.core.verdict.witness_edges import ADDED_NS, cut_at_witness
from tests.support.outages import MS, outage

SHARDS = ("0001", "0002")


def lane(name: str, *, tls: bool = False, is_witness: bool = True) -> LaneFacts:
    """Return a lane observed for 20 s."""
    return LaneFacts(name, tls, is_witness, SHARDS, 0, 20_000 * MS)


WIRE, WIRE_TLS = lane("tcp"), lane("tls", tls=True)
APP, APP_TLS = lane("app", is_witness=False), lane("app", tls=True, is_witness=False)


def causes(lanes: list[LaneFacts], outages: list[Outage]) -> list[tuple[int, Cause]]:
    """Return (length in ms, cause) of the parts of the client's outages."""
    parts = cut_at_witness(outages, lanes, outages)
    context = make_context(lanes, parts)
    return [
        (part.duration_ns // MS, attribute(part, context).cause)
        for part in parts
        if part.scope.lane == "app"
    ]


@pytest.mark.parametrize(
    ("lanes", "outages", "expected"),
    [
        pytest.param(
            [APP, WIRE],
            [outage(1000, 6000, lane="app"), outage(1000, 3000)],
            [(2000, Cause.SHARD), (3000, Cause.CLIENT)],
            id="it stays away longer",
        ),
        pytest.param(
            [APP, WIRE],
            [outage(1000, 3200, lane="app"), outage(1050, 3000)],
            [(2200, Cause.SHARD)],
            id="it notices a little later",
        ),
        pytest.param(
            [APP, WIRE],
            [
                outage(1000, 3000, lane="app"),
                outage(1000, 3000, lane="app", shard="0002"),
                outage(1000, 3000),
            ],
            [(2000, Cause.SHARD), (2000, Cause.CLIENT)],
            id="one shard is down, and takes the client's others with it",
        ),
        pytest.param(
            [APP, WIRE],
            [
                outage(1000, 3000, lane="app"),
                outage(1000, 3000),
                outage(1000, 3000, shard="0002"),
            ],
            [(2000, Cause.CLUSTER)],
            id="the witness sees all shards down, the client one",
        ),
        pytest.param(
            [APP_TLS, WIRE, WIRE_TLS],
            [outage(1000, 3000, lane="app"), outage(1000, 3000, lane="tls")],
            [(2000, Cause.TRANSPORT)],
            id="the witness of its transport counts",
        ),
        pytest.param(
            [APP_TLS, WIRE],
            [outage(1000, 3000, lane="app")],
            [(2000, Cause.CLIENT)],
            id="or any other, if there is none",
        ),
        pytest.param(
            [APP],
            [outage(1000, 3000, lane="app")],
            [(2000, Cause.SHARD)],
            id="nobody watches",
        ),
    ],
)
def test_what_a_client_adds(
    lanes: list[LaneFacts], outages: list[Outage], expected: list[tuple[int, Cause]]
) -> None:
    """The client's part is what the witness did not see."""
    assert causes(lanes, outages) == expected


@given(
    st.integers(0, 9000),
    st.integers(1, 9000),
    st.integers(0, 9000),
    st.integers(1, 9000),
)
def test_parts_are_the_whole(start: int, length: int, at: int, dark: int) -> None:
    """Nothing is lost or added by cutting, and no cut-off part is negligible."""
    whole = outage(start, start + length, lane="app")
    seen = outage(at, at + dark)
    *parts, witnessed = cut_at_witness([whole, seen], [APP, WIRE], [whole, seen])
    assert witnessed == seen
    assert sum(part.duration_ns for part in parts) == whole.duration_ns
    assert (parts[0].start_ns, parts[-1].end_ns) == (whole.start_ns, whole.end_ns)
    assert sum(part.failed for part in parts) == whole.failed
    if len(parts) > 1:
        inside = min(whole.end_ns, seen.end_ns) - max(whole.start_ns, seen.start_ns)
        assert ADDED_NS < inside < whole.duration_ns - ADDED_NS
