"""Requests of remote write: what a protobuf library reads is what was written."""

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries
from loadprobe.outputs.remote_write.request import varint, write_request
from tests.scripted.receiver import decoded

BASE_MS = 1_767_323_045_000
SCOPE = ("tcp", "0001", "read")
REFUSED = MsSeries(MsKind.ERRORS, (*SCOPE, "refused"))
SERVED = MsSeries(MsKind.OPS, (*SCOPE, "served"))
BLIND = MsSeries(MsKind.BLIND, ("tls",))
SERIES = (REFUSED, SERVED, BLIND)


def batch_of(series: MsSeries, *points: tuple[int, int]) -> MsSamples:
    """Return a batch of (milliseconds, value)."""
    batch = MsSamples(series)
    for ms, value in points:
        batch.add(ms, value)
    return batch


def test_a_request_is_what_prometheus_reads() -> None:
    """Labels come by name, samples by time, and a series is there once."""
    body = write_request(
        [
            batch_of(REFUSED, (0, 3), (1, 0)),
            batch_of(BLIND, (5, 70_000)),
            batch_of(REFUSED, (7, 1)),
        ],
        cluster="db.example.com",
        shift_ms=BASE_MS,
        extra_labels={"Site": "ä", "job": "x"},
    )
    assert decoded(body) == [
        (
            [
                ("Site", "ä"),
                ("__name__", "loadprobe_cell_errors"),
                ("cluster", "db.example.com"),
                ("job", "x"),
                ("lane", "tcp"),
                ("op", "read"),
                ("outcome", "refused"),
                ("shard", "0001"),
            ],
            [(BASE_MS, 3.0), (BASE_MS + 1, 0.0), (BASE_MS + 7, 1.0)],
        ),
        (
            [
                ("Site", "ä"),
                ("__name__", "loadprobe_cell_blind"),
                ("cluster", "db.example.com"),
                ("job", "x"),
                ("lane", "tls"),
            ],
            [(BASE_MS + 5, 70_000.0)],
        ),
    ]


def test_labels_without_a_value_are_left_out() -> None:
    """The format knows no empty labels."""
    (series,) = decoded(
        write_request(
            [batch_of(BLIND, (0, 1))], cluster="", shift_ms=0, extra_labels={}
        )
    )
    assert series[0] == [("__name__", "loadprobe_cell_blind"), ("lane", "tls")]


def test_a_request_of_nothing() -> None:
    """Without samples it is the empty message."""
    assert decoded(write_request([], cluster="c", shift_ms=0, extra_labels={})) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SERIES),
            st.lists(
                st.tuples(st.integers(0, 2**40), st.integers(0, 2**32 - 1)), min_size=1
            ),
        )
    )
)
def test_every_sample_is_there(
    given_: list[tuple[MsSeries, list[tuple[int, int]]]],
) -> None:
    """Times and values of any size come back as they were."""
    body = write_request(
        [batch_of(series, *points) for series, points in given_],
        cluster="c",
        shift_ms=BASE_MS,
        extra_labels={},
    )
    expected: dict[MsSeries, list[tuple[int, float]]] = {}
    for series, points in given_:
        rows = [(ms + BASE_MS, float(value)) for ms, value in points]
        expected.setdefault(series, []).extend(rows)
    assert [samples for _, samples in decoded(body)] == list(expected.values())


def test_numbers_by_seven_bits() -> None:
    """The examples of the protobuf encoding guide, and the edges."""
    assert [varint(n).hex() for n in (0, 1, 127, 128, 150, 16_384)] == [
        "00",
        "01",
        "7f",
        "8001",
        "9601",
        "808001",
    ]
