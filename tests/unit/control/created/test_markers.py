"""Notes of groups that a scenario created: whose they are, and where."""

import os
from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Control
from loadprobe.control.created import markers
from loadprobe.control.created.markers import Marker
from loadprobe.errors import ControlError
from loadprobe.liveness import start_ticks

CONTROL = Control("rg", endpoint_url="http://127.0.0.1:1")
WRITTEN_NS = 500 * NS_PER_S


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have markers in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "loadprobe" / "groups"


def abandoned(folder: Path) -> Marker:
    """Write a marker, as a process that is gone now; return it."""
    markers.write(CONTROL, now_ns=WRITTEN_NS, mark="7f3a")
    (path,) = folder.glob("*.json")
    marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    marker = msgspec.structs.replace(marker, start_ticks=marker.start_ticks - 1)
    path.write_bytes(msgspec.json.encode(marker))
    return marker


def test_a_marker_is_private_and_complete(folder: Path) -> None:
    """It tells group, place, time and owner, and only its owner can read it."""
    markers.write(CONTROL, now_ns=WRITTEN_NS, mark="7f3a")
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


@pytest.mark.parametrize(
    "elsewhere",
    [{"pid_namespace": "pid:[1]"}, {"host": "another"}, {"host": "", "boot_id": "b"}],
)
def test_an_owner_that_cannot_be_seen_counts_as_alive(
    folder: Path, elsewhere: dict[str, str]
) -> None:
    """One in another container or on another host is not taken for dead."""
    marker = msgspec.structs.replace(abandoned(folder), **elsewhere)
    (path,) = folder.glob("*.json")
    path.write_bytes(msgspec.json.encode(marker))
    assert markers.left_behind() == ()
    assert markers.foreign() == (marker,)
    assert "may still run; wait for its end" in markers.remedy(CONTROL)
    with pytest.raises(ControlError, match="and may still run; choose another group"):
        markers.write(CONTROL, now_ns=WRITTEN_NS, mark="7f3a")


def test_groups_of_one_name_in_two_places(folder: Path) -> None:
    """Each place has its own marker; removing one leaves the other."""
    markers.write(CONTROL, now_ns=1, mark="7f3a")
    markers.write(Control("rg", region="eu-west-1"), now_ns=2, mark="7f3a")
    markers.write(Control("a/../b"), now_ns=3, mark="7f3a")
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
        markers.write(CONTROL, now_ns=WRITTEN_NS, mark="7f3a")


def test_a_marker_survives_a_power_cut(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on the disk, under its name, before its group is asked for."""
    synced: list[tuple[str, bytes]] = []

    def note(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append((path.name, path.read_bytes() if path.is_file() else b""))
        if path == folder:
            assert markers.file_of(CONTROL).exists()

    monkeypatch.setattr(os, "fsync", note)
    markers.write(CONTROL, now_ns=WRITTEN_NS, mark="7f3a")
    path = markers.file_of(CONTROL)
    draft = path.with_suffix(".new").name
    assert synced == [(draft, path.read_bytes()), (folder.name, b"")]


def test_a_marker_that_cannot_be_written(folder: Path) -> None:
    """Then the group must not be asked for."""
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in the way")
    with pytest.raises(ControlError, match="so it was not asked for; set XDG_STATE"):
        markers.write(CONTROL, now_ns=WRITTEN_NS, mark="7f3a")


@pytest.mark.parametrize("content", [b"{", b'{"group": "\xff"}'])
def test_a_marker_that_cannot_be_read(folder: Path, content: bytes) -> None:
    """It is not passed over in silence: a group may hang on it."""
    folder.mkdir(parents=True)
    (folder / "rg-1.json").write_bytes(content)
    with pytest.raises(
        ControlError, match="rg-1.json: .*; look whether its group still"
    ):
        markers.left_behind()


def test_whose_marker_it_is(folder: Path) -> None:
    """Only this process's own is told; what is written again is one marker."""
    assert markers.own(CONTROL) is None
    markers.write(CONTROL, now_ns=WRITTEN_NS, mark="7f3a")
    markers.write(CONTROL, now_ns=WRITTEN_NS + 1, mark="7f3a")
    marker = markers.own(CONTROL)
    assert marker is not None
    assert marker.written_unix_ns == WRITTEN_NS + 1
    assert markers.own(Control("rg")) is None
    markers.remove(CONTROL)
    abandoned(folder)
    assert markers.own(CONTROL) is None
