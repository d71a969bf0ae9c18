"""Process identity, private folders, the state file and the name's lock."""

import os
import secrets
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.cluster.folders import (
    make_cluster_folder,
    remove_abandoned,
    runtime_folder,
    temp_folder,
)
from loadprobe.local.cluster.ports import free_ports
from loadprobe.local.cluster.processes import is_process, send_signal, start_ticks
from loadprobe.local.state import (
    LocalState,
    SavedNode,
    claimed,
    read_state,
    remove_state,
    state_path,
    write_state,
)


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the runtime folder and the temp folder into a new folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def a_state(*, pid: int, ticks: int) -> LocalState:
    """Return a state that names the process given."""
    return LocalState(
        name="test",
        pid=pid,
        start_ticks=ticks,
        endpoint_url="http://127.0.0.1:1",
        replication_group_id="test",
        host="127.0.0.1",
        port=2,
        tls_port=None,
        ca_file=None,
        password_file=None,
        nodes=[SavedNode("test-0001-001", "0001", "127.0.0.1", 2, None)],
    )


def own_ticks() -> int:
    """Return when this process started."""
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    return ticks


def test_a_process_is_known_by_its_start() -> None:
    """A pid with another start time is another process, and is not signalled."""
    assert is_process(os.getpid(), own_ticks())
    assert not is_process(os.getpid(), own_ticks() - 1)
    assert not send_signal(os.getpid(), own_ticks() - 1, signal.SIGKILL)


def test_signals_the_process_meant() -> None:
    """The process named is signalled; once it is gone, nobody is."""
    with subprocess.Popen(["sleep", "60"]) as process:
        ticks = start_ticks(process.pid)
        assert ticks is not None
        assert send_signal(process.pid, ticks, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not send_signal(process.pid, ticks, signal.SIGKILL)


def test_a_zombie_is_no_process() -> None:
    """A process that ended and was not reaped counts as gone."""
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_ticks(process.pid) is None


def test_ports_are_different_and_not_ephemeral() -> None:
    """Ports are distinct, and outside the range that outgoing connections use."""
    low, high = map(
        int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    )
    ports = free_ports(30)
    assert len(set(ports)) == 30
    assert all(not low <= port <= high for port in ports)


def test_a_port_is_not_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a port may bind it much later: the one for TLS, when TLS is turned on."""
    first, second = free_ports(2)
    drawn = iter([first, second, first])
    choice = secrets.choice
    monkeypatch.setattr(
        secrets, "choice", lambda usable: next(drawn, None) or choice(usable)
    )
    assert free_ports(1)[0] not in (first, second)


def test_folders_are_private(own_folders: Path) -> None:
    """The runtime folder is ours alone, and one that others may use is refused."""
    folder = runtime_folder()
    assert folder == own_folders / "loadprobe"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    with pytest.raises(PreflightError, match="mode 0700"):
        runtime_folder()


def test_a_symbolic_link_is_no_runtime_folder(own_folders: Path) -> None:
    """A link put where the folder should be is refused."""
    (own_folders / "elsewhere").mkdir(mode=0o700)
    (own_folders / "loadprobe").symlink_to(own_folders / "elsewhere")
    with pytest.raises(PreflightError, match="must be a real folder"):
        runtime_folder()


@pytest.mark.usefixtures("own_folders")
def test_removes_only_folders_of_dead_owners() -> None:
    """A folder whose owner is dead goes; a living owner's and a stranger's stay."""
    mine = make_cluster_folder()
    words = mine.name.split("-")
    words[3] = str(int(words[3]) - 1)  # same pid, another start: a dead process
    dead = mine.with_name("-".join(words))
    dead.mkdir()
    stranger = mine.with_name("cluster-0-1-1-abc")
    stranger.mkdir()
    assert remove_abandoned(temp_folder()) == [dead]
    assert mine.exists()
    assert stranger.exists()


@pytest.mark.usefixtures("own_folders")
def test_a_state_is_read_back() -> None:
    """A state is written with mode 0600, read back equal, and can be removed."""
    state = a_state(pid=os.getpid(), ticks=own_ticks())
    assert read_state("test") is None
    write_state(state)
    assert stat.S_IMODE(state_path("test").stat().st_mode) == 0o600
    assert read_state("test") == state
    assert state.is_running
    remove_state("test")
    assert read_state("test") is None


def test_a_reused_pid_is_not_running() -> None:
    """A state whose pid belongs to another process now is not running."""
    assert not a_state(pid=os.getpid(), ticks=own_ticks() - 1).is_running


@pytest.mark.usefixtures("own_folders")
@pytest.mark.parametrize("content", [b"{}", b'{"name": "\xff"}'])
def test_a_broken_state_file_is_named(content: bytes) -> None:
    """A state file that cannot be read is an error with its path."""
    state_path("test").write_bytes(content)
    with pytest.raises(RunError, match=r"local-test\.json"):
        read_state("test")


@pytest.mark.usefixtures("own_folders")
def test_a_name_is_held_once() -> None:
    """A name can be claimed again only after it was let go."""
    with (
        claimed("test"),
        pytest.raises(UsageError, match="runs already"),
        claimed("test"),
    ):
        pass
    with claimed("test"):
        pass
