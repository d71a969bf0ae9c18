"""Groups that a scenario created are never forgotten, and nobody else's is deleted."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.config import Control
from loadprobe.control import cleanup, markers
from loadprobe.control.cleanup import clean_up
from loadprobe.control.lifecycle import DeleteGroup
from loadprobe.control.markers import Marker
from loadprobe.control.state import ABSENT
from loadprobe.core.events import Emit, Event
from loadprobe.errors import ControlError
from loadprobe.liveness import start_ticks
from tests.unit.scenario_stage import Api, group_of, state_of

CONTROL = Control("rg", endpoint_url="http://127.0.0.1:1")
WRITTEN_NS = 500 * NS_PER_S


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have markers in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "loadprobe" / "groups"


def abandoned(folder: Path) -> Marker:
    """Write a marker, as a process that is gone now; return it."""
    markers.write(CONTROL, now_ns=WRITTEN_NS)
    (path,) = folder.glob("*.json")
    marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    marker = msgspec.structs.replace(marker, start_ticks=marker.start_ticks - 1)
    path.write_bytes(msgspec.json.encode(marker))
    return marker


def test_a_marker_is_private_and_complete(folder: Path) -> None:
    """It tells group, place, time and owner, and only its owner can read it."""
    markers.write(CONTROL, now_ns=WRITTEN_NS)
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    assert (marker.group, marker.endpoint_url) == ("rg", "http://127.0.0.1:1")
    assert (marker.pid, marker.written_unix_ns) == (os.getpid(), WRITTEN_NS)
    assert marker.is_owned
    assert marker.control == CONTROL
    assert markers.left_behind() == ()


def test_markers_of_the_dead_are_left_behind(folder: Path) -> None:
    """A pid that was given to another process, or another boot, is another owner."""
    marker = abandoned(folder)
    assert not marker.is_owned
    assert markers.left_behind() == (marker,)
    rebooted = msgspec.structs.replace(
        marker, start_ticks=marker.start_ticks + 1, boot_id="another"
    )
    assert not rebooted.is_owned


def test_groups_of_one_name_in_two_places(folder: Path) -> None:
    """Each place has its own marker; removing one leaves the other."""
    markers.write(CONTROL, now_ns=1)
    markers.write(Control("rg", region="eu-west-1"), now_ns=2)
    markers.write(Control("a/../b"), now_ns=3)
    assert len(list(folder.iterdir())) == 3
    markers.remove(CONTROL)
    markers.remove(CONTROL)
    assert len(list(folder.iterdir())) == 2


def test_without_a_state_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG's default is below the home folder."""
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(markers.folder()) == "/home/somebody/.local/state/loadprobe/groups"


def test_a_group_that_another_run_creates(folder: Path) -> None:
    """A marker whose owner lives is not taken over."""
    marker = abandoned(folder)
    (path,) = folder.glob("*.json")
    owner = os.getppid()
    ticks = start_ticks(owner)
    assert ticks is not None
    theirs = msgspec.structs.replace(marker, pid=owner, start_ticks=ticks)
    path.write_bytes(msgspec.json.encode(theirs))
    with pytest.raises(ControlError, match=f"process {owner} has marked it as its own"):
        markers.write(CONTROL, now_ns=WRITTEN_NS)


def test_a_marker_that_cannot_be_written(folder: Path) -> None:
    """Then the group must not be asked for."""
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in the way")
    with pytest.raises(ControlError, match="so it was not asked for; set XDG_STATE"):
        markers.write(CONTROL, now_ns=WRITTEN_NS)


def test_a_marker_that_cannot_be_read(folder: Path) -> None:
    """It is not passed over in silence: a group may hang on it."""
    folder.mkdir(parents=True)
    (folder / "rg-1.json").write_text("{")
    with pytest.raises(
        ControlError, match="rg-1.json: .*; look whether its group still"
    ):
        markers.left_behind()


class Provider:
    """The API behind ``clean_up``, with one group; deletions are noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, made_ns: int | None) -> None:
        self.api = Api(state_of(replace(group_of(1), created_unix_ns=made_ns)))
        self.deleted: list[str] = []
        self.told: list[str] = []
        monkeypatch.setattr(cleanup, "open_api", self._open)
        monkeypatch.setattr(cleanup, "mutate", self._mutate)

    @asynccontextmanager
    async def _open(self, control: Control, *, must_exist: bool) -> AsyncIterator[Api]:
        assert not must_exist
        assert control == CONTROL
        yield self.api

    async def _mutate(
        self, api: Api, mutation: DeleteGroup, *, emit: Emit, **_: object
    ) -> None:
        assert mutation == DeleteGroup()
        emit(Event(0, "controller", "phase", {"phase": "accepted"}))
        self.deleted.append(api.group_id)

    async def clean_up(self, marker: Marker) -> bool:
        """Clean up; keep what is told."""
        return await clean_up(marker, tell=self.told.append)


@pytest.mark.parametrize("made_s", [499, 500, 10_000])
async def test_a_group_made_after_the_marker_is_deleted(
    monkeypatch: pytest.MonkeyPatch, folder: Path, made_s: int
) -> None:
    """Clocks agree to about a second; the marker goes with the group."""
    provider = Provider(monkeypatch, made_ns=made_s * NS_PER_S)
    assert await provider.clean_up(abandoned(folder))
    assert provider.deleted == ["rg"]
    assert provider.told == [
        "rg at http://127.0.0.1:1: deletion accepted; waiting until it is gone",
        "rg at http://127.0.0.1:1: deleted",
    ]
    assert markers.left_behind() == ()


async def test_a_group_made_before_the_marker_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """It was there when the run wanted to create it, so it is somebody's."""
    provider = Provider(monkeypatch, made_ns=494 * NS_PER_S)
    assert await provider.clean_up(abandoned(folder))
    assert provider.deleted == []
    assert "left alone" in provider.told[0]
    assert markers.left_behind() == ()


async def test_a_group_of_unknown_age_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """What is not certain is for a person to decide."""
    provider = Provider(monkeypatch, made_ns=None)
    with pytest.raises(ControlError, match="does not tell when it was made"):
        await provider.clean_up(abandoned(folder))
    assert provider.deleted == []
    assert len(markers.left_behind()) == 1


@pytest.mark.parametrize(("age_s", "is_gone"), [(59, False), (61, True)])
async def test_a_group_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, folder: Path, age_s: int, *, is_gone: bool
) -> None:
    """One that was asked for just now may still appear; else it is gone."""
    provider = Provider(monkeypatch, made_ns=None)
    group = replace(provider.api.state.group, status=ABSENT)
    provider.api.state = replace(provider.api.state, group=group)
    marker = msgspec.structs.replace(
        abandoned(folder),
        written_unix_ns=provider.api.provider_now_ns - age_s * NS_PER_S,
    )
    assert await provider.clean_up(marker) is is_gone
    assert provider.deleted == []
    expected = "already gone" if is_gone else "asked for only 59 s ago"
    assert expected in provider.told[0]
    assert len(markers.left_behind()) == (0 if is_gone else 1)


async def test_a_group_whose_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Nothing is asked, nothing deleted."""
    provider = Provider(monkeypatch, made_ns=600 * NS_PER_S)
    markers.write(CONTROL, now_ns=WRITTEN_NS)
    (path,) = folder.glob("*.json")
    marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    assert not await provider.clean_up(marker)
    assert "still runs" in provider.told[0]
    assert provider.deleted == []
