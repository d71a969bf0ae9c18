"""What a page shows of servers: in the steps of what clients saw, kept or live."""

from pathlib import Path
from typing import Any

import msgspec

from loadprobe.clock import ClockPair
from loadprobe.core.topology.server_side import PRIMARY, REPLICA, ServerRow
from loadprobe.outputs.folder.documents import SERVERS
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.page import servers as shown
from loadprobe.outputs.page.recent import Recent
from loadprobe.outputs.page.seconds import Grid
from loadprobe.outputs.page.servers import load_servers, servers_document
from tests.support.http_stage import CLOCK, S, Stage, arrivals

ROW = ServerRow("h:1", "0001", PRIMARY, 10, 1000, 250, 30, 7, 2_345_678, None, 0)


def row(second: int, **more: Any) -> ServerRow:
    """Return what a server told of a second."""
    return msgspec.structs.replace(ROW, second=second, **more)


def written(path: Path, *rows: ServerRow) -> Path:
    """Return a run folder in which servers told something."""
    path.mkdir()
    folder = RunFolder(path, clock=ClockPair(0, 0))
    folder.take_servers(rows)
    return folder.close()


def test_columns_in_the_steps_of_the_page(tmp_path: Path) -> None:
    """Rates are of the time they were counted in; who did not answer is null."""
    path = written(
        tmp_path / "run",
        row(10, span_ms=0, ops=0, cpu_ms=0),
        row(12, span_ms=2000),
        row(10, node="h:2", role=REPLICA, lag_bytes=1234),
    )
    told = servers_document(load_servers(path, Grid((10, 11, 12, 13))))
    first, second = told["nodes"]
    assert (first["node"], first["shard"], told["left_out"]) == ("h:1", "0001", 0)
    assert first["ops_per_s"] == [None, None, 125]
    assert first["cpu_percent"] == [None, None, 1.5]
    assert first["clients"] == [7, None, 7]
    assert first["memory_mb"] == [2.35, None, 2.35]
    assert first["is_primary"] == [1, None, 1]
    assert second["is_primary"] == [0, None, None]
    assert second["lag_kb"] == [1.2, None, None]


def test_long_steps_add_up(tmp_path: Path) -> None:
    """A server that changed its role in a step is what it was at its end."""
    path = written(
        tmp_path / "run",
        row(10, ops=100, clients=9),
        row(11, ops=300, role=REPLICA, lag_bytes=50),
        row(99),
    )
    (node,) = servers_document(load_servers(path, Grid((10, 20, 30))))["nodes"]
    assert node["ops_per_s"] == [200, None]
    assert (node["clients"], node["is_primary"]) == ([9, None], [0, None])


def test_without_servers_there_is_nothing(tmp_path: Path) -> None:
    """A run that asked nobody lacks nothing; what is damaged is named."""
    path = written(tmp_path / "run")
    assert not (path / SERVERS).exists()
    course = load_servers(path, Grid((10, 11)))
    assert (course.servers, course.problems) == ({}, [])
    (path / SERVERS).write_bytes(b'{"schema_version":1,"file":"servers"}\n{"node":1}\n')
    course = load_servers(path, Grid((10, 11)))
    assert SERVERS in course.problems[0]


def test_too_many_servers_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """A page has only so many."""
    monkeypatch.setattr(shown, "MOST_SERVERS", 2)
    path = written(tmp_path / "run", *(row(10, node=f"h:{n}") for n in range(5)))
    told = servers_document(load_servers(path, Grid((10, 11))))
    assert (len(told["nodes"]), told["left_out"]) == (2, 3)


def test_live_rows_come_once_and_not_before_their_second() -> None:
    """What servers tell is there before its second was judged, or after it."""
    recent, stage = Recent(CLOCK), Stage.make()
    stage.begin()

    def judge(second: int) -> None:
        blocks = {("tcp", "0001"): arrivals(second * S, (second + 1) * S)}
        recent.take_sealed(stage.add(blocks, (second + 1) * S))

    judge(0)
    recent.take_servers([row(0), row(1)])
    whole = recent.whole()
    assert [told.second for told in whole.servers] == [0]
    recent.take_servers([row(2)])
    judge(1)
    assert [told.second for told in recent.news().servers] == [1]
    judge(2)
    judge(3)
    assert [told.second for told in recent.news().servers] == [2]
    recent.take_servers([row(3)])  # late
    judge(4)
    assert [told.second for told in recent.news().servers] == [3]
    recent.leave()
    assert [told.second for told in recent.whole().servers] == [0, 1, 2, 3]
