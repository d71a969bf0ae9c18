"""Clients are compared while a run lasts, in incidents that are over."""

from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.verdict.client_document import ClientComparison
from loadprobe.core.verdict.clients_so_far import MOST_COMPARED, ClientsSoFar
from loadprobe.core.verdict.so_far import still
from tests.support.http_stage import MS, S, Stage, arrivals

LANES = ("wire", "quick", "slow")


def stage() -> Stage:
    """Return a run of a witness and two clients."""
    result = Stage.of(
        [
            LaneInfo(name, False, (0,), 250 * MS, is_witness=name == "wire")
            for name in LANES
        ]
    )
    result.begin()
    return result


def pass_s(of: Stage, first: int, until: int, *dark_ms: tuple[int, int, int]) -> None:
    """Let seconds pass; the n-th lane is dark for (from, length) in ms."""
    spans = {
        LANES[n]: (begin * MS, (begin + length) * MS) for n, begin, length in dark_ms
    }
    blocks = {
        (lane, "0001"): arrivals(
            first * S, until * S, *([spans[lane]] if lane in spans else [])
        )
        for lane in LANES
    }
    of.add(blocks, until * S)


def compared(of: Stage, clients: ClientsSoFar) -> list[ClientComparison]:
    """Return what is known now."""
    run, going_on = of.view.judged()
    return list(clients.look(still(run, going_on), going_on, Activity()))


def test_an_incident_that_is_over() -> None:
    """Who was served again first is first; the witness is above them."""
    run, clients = stage(), ClientsSoFar()
    pass_s(run, 0, 4, (0, 1000, 200), (1, 1000, 400), (2, 1000, 900))
    (only,) = compared(run, clients)
    assert [(row.lane, row.rank) for row in only.rows] == [
        ("wire", None),
        ("quick", 1),
        ("slow", 2),
    ]


def test_one_that_goes_on_is_not_compared() -> None:
    """Until its last lane is served again, and then it is."""
    run, clients = stage(), ClientsSoFar()
    pass_s(run, 0, 2, (1, 1000, 400), (2, 1000, 5000))
    assert compared(run, clients) == []
    pass_s(run, 2, 8, (2, 1000, 5000))
    assert len(compared(run, clients)) == 1


def test_only_the_latest_and_once() -> None:
    """As long as no incident is over that was not, the same is told."""
    run, clients = stage(), ClientsSoFar()
    for n in range(MOST_COMPARED + 2):
        at = 10 * n
        pass_s(run, at, at + 10, (1, at * 1000 + 2000, 300))
    first = compared(run, clients)
    assert len(first) == MOST_COMPARED
    assert first[-1].about == f"incident {MOST_COMPARED + 2}"
    again = compared(run, clients)
    assert all(one is other for one, other in zip(first, again, strict=True))
