"""The file of a state: what is gone on with, and what is refused."""

import re
import stat
from pathlib import Path

import msgspec
import pytest

from loadprobe.core.parity.coverage import Coverage
from loadprobe.core.parity.state import ParityState, ParityTerms, make_state
from loadprobe.core.parity.tally import ParityTally
from loadprobe.errors import PreflightError, UsageError
from loadprobe.parity.state_file import load_state, save_state

TERMS = ParityTerms("a:1", "b:2", b"", 1.0, 2.0)


def state(**more: object) -> ParityState:
    """Return a state of a comparison that has just begun."""
    made = make_state(
        TERMS,
        (Coverage(), Coverage()),
        [b"\xff"],
        ParityTally(),
        elapsed_s=1,
        is_over=False,
    )
    return msgspec.structs.replace(made, **more)


def test_a_state_is_its_owners_alone(tmp_path: Path) -> None:
    """Names of keys are in it; what was written is read."""
    path = tmp_path / "state.json"
    assert load_state(path, TERMS) is None
    save_state(path, state())
    save_state(path, state(elapsed_s=2.5))
    assert load_state(path, TERMS) == state(elapsed_s=2.5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no state of a comparison"),
        (b'{"x": 1}', "is no state of a comparison"),
        (state(remembered=b"123"), "is no state of a comparison"),
        (state(schema_version=9), "schema_version 9, expected 1"),
        (state(terms=ParityTerms("a:1", "c:3", b"", 1.0, 2.0)), "a:1 and c:3"),
        (state(terms=ParityTerms("a:1", "b:2", b"x", 1.0, 2.0)), "prefix b'x'"),
        (state(is_over=True), "is over; remove it"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, content: bytes | ParityState, why: str
) -> None:
    """What is damaged, of another comparison, or over, is not gone on with."""
    path = tmp_path / "state.json"
    if isinstance(content, ParityState):
        content = msgspec.json.encode(content)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(why)):
        load_state(path, TERMS)


def test_folders_cannot_be_read_or_written(tmp_path: Path) -> None:
    """One line with the path."""
    with pytest.raises(UsageError, match="cannot be read"):
        load_state(tmp_path, TERMS)
    with pytest.raises(PreflightError, match="cannot be written"):
        save_state(tmp_path / "none" / "state.json", state())
