"""What the service manager is told, by a socket like its own."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.run.service import Service
from tests.support.service_manager import Manager

WATCHDOG_NS = 8 * NS_PER_S


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Listen at a path."""
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.fixture
def service(manager: Manager, tmp_path: Path) -> Service:
    """Tell that manager, which waits eight seconds for a sign of life."""
    assert manager.heard() == []
    return Service(str(tmp_path / "notify"), watchdog_ns=WATCHDOG_NS)


def test_begin_and_end(manager: Manager, service: Service) -> None:
    """Readiness and the end are told once each."""
    service.ready()
    service.stopping()
    *states, status = manager.heard()
    assert states == ["READY=1", "STOPPING=1"]
    assert status.startswith("STATUS=ending: ")


def test_status_once_a_second(manager: Manager, service: Service) -> None:
    """A line is told when it is another one, at most once a second, as one line."""
    times = [5 * NS_PER_S, 5 * NS_PER_S + 1, 6 * NS_PER_S, 7 * NS_PER_S]
    for now_ns, status in zip(
        times, ["a", "b", "b\nREADY=1", "b\nREADY=1"], strict=True
    ):
        service.refresh(status, {}, now_ns)
    heard = [line for line in manager.heard() if line != "WATCHDOG=1"]
    assert heard == ["STATUS=a", "STATUS=b READY=1"]


def test_patted_while_every_probe_gets_further(
    manager: Manager, service: Service
) -> None:
    """Four times a timeout; not while one of two probes stands still."""
    pats, watermarks_ns = [], {0: 0, 1: 0}
    for second in range(1, 21):
        now_ns = second * NS_PER_S
        for process in (0, 1):
            stands = process == 1 and 8 <= second < 14
            watermark_ns = (8 if stands else second) * NS_PER_S
            watermarks_ns[process] = watermark_ns
        service.refresh("", watermarks_ns, now_ns)
        pats += [second] * manager.heard().count("WATCHDOG=1")
    assert pats == [2, 4, 6, 8, 14, 16, 18, 20]


def test_a_probe_that_never_got_anywhere(manager: Manager, service: Service) -> None:
    """One that hangs from its first moment is no sign of life either."""
    for second in range(1, 11):
        service.refresh("", {0: second, 1: 0}, second * NS_PER_S)
    assert manager.heard() == []


def test_without_a_watchdog_there_is_no_pat(manager: Manager, tmp_path: Path) -> None:
    """Who does not wait for signs of life gets none."""
    service = Service(str(tmp_path / "notify"))
    service.refresh("fine", {}, 5 * NS_PER_S)
    assert manager.heard() == ["STATUS=fine"]


def test_environment_is_taken_out(tmp_path: Path) -> None:
    """What asks for the telling is not passed on to processes that are started."""
    manager = Manager(tmp_path / "notify")
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "4000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    service = Service.of(environment)
    assert environment == {"PATH": "/bin"}
    service.refresh("", {}, 5 * NS_PER_S)
    assert manager.heard() == ["WATCHDOG=1"]
    manager.close()


@pytest.mark.parametrize(
    "environment",
    [
        {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
def test_a_watchdog_of_somebody_else(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """One that is not ours, or makes no sense, is left alone."""
    manager = Manager(tmp_path / "notify")
    service = Service.of({**environment, "NOTIFY_SOCKET": str(tmp_path / "notify")})
    service.refresh("", {}, 5 * NS_PER_S)
    assert manager.heard() == []
    manager.close()


def test_an_abstract_socket() -> None:
    """A name after an @ is that of a socket without a file."""
    name = f"loadprobe-test-{os.getpid()}"
    manager = Manager(b"\0" + name.encode())
    Service.of({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.heard() == ["READY=1"]
    manager.close()


def test_nobody_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A manager that is gone is told of once, and changes nothing else."""
    service = Service(str(tmp_path / "gone"))
    with caplog.at_level(logging.WARNING):
        service.ready()
        service.stopping()
    assert [record.getMessage() for record in caplog.records] == [
        "telling the service manager READY failed: [Errno 2] No such file or directory"
    ]


def test_nobody_asked(caplog: pytest.LogCaptureFixture) -> None:
    """Without a socket nothing is told."""
    service = Service.of({})
    service.ready()
    service.refresh("fine", {}, 5 * NS_PER_S)
    assert caplog.records == []
