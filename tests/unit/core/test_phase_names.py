"""The names of phases, and their words."""

import re
import typing

from loadprobe.core.events import PhaseDetails
from loadprobe.core.phase_names import OF_LOAD, WORDS, Phase
from loadprobe.core.verdict.step_phases import LanePhases
from tests.support.paths import ROOT


def test_every_phase_is_in_the_table() -> None:
    """Each phase has words, and is described where phases are defined."""
    assert list(WORDS) == list(Phase)
    assert len(set(WORDS.values())) == len(WORDS)
    page = (ROOT / "docs" / "measuring.md").read_text()
    rows = re.findall(r"^\| ([a-z0-9_, ]+) \|", page, re.MULTILINE)
    told = {name for row in rows for name in row.split(", ")}
    assert set(Phase) <= told


def test_every_phase_that_is_entered_has_a_name() -> None:
    """An event of a phase bears a name of the table; its other types share them."""
    tags = [kind.__struct_config__.tag for kind in typing.get_args(PhaseDetails)]
    names = {str(tag).partition("/")[0] for tag in tags}
    assert names <= set(Phase) - OF_LOAD


def test_lanes_tell_what_is_of_the_load() -> None:
    """What is told of each lane is what the load sees."""
    fields = LanePhases.__dataclass_fields__
    assert OF_LOAD - {Phase.P99_RECOVERED} <= set(fields)
