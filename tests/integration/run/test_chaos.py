"""What goes wrong around a probe, on a real cluster: a part of ``make chaos``."""

import pytest
import pytest_asyncio

from benchmarks.chaos.matrix import Matrix, run_matrix

ROWS = (
    "killed",
    "half_open",
    "garbage",
    "certificate_expired",
    "password_changed",
    "disk_full",
    "clock_forward",
    "probe_stopped_in_an_outage",
    "supervisor_stopped",
    "receiver_down",
    "name_gone_and_cut",
)

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix() -> Matrix:
    """Do all of it once."""
    return await run_matrix(ROWS.__contains__, say=lambda _: None)


async def test_it_is_told_as_it_was(matrix: Matrix) -> None:
    """The truth lies within the bounds, has its cause, and nothing else is dark."""
    assert {row.done.name: row.problems for row in matrix.rows if row.problems} == {}
    assert len(matrix.rows) == len(ROWS)


async def test_the_data_is_as_it_was(matrix: Matrix) -> None:
    """No write is lost, no read stale, no reply wrong, no file torn."""
    assert matrix.problems == []
