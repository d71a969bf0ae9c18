"""What is checked of lanes and groups that are not there yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Config, Control, Http, Lane, Output, Target, Tunnel
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.control.provider import shared as shared_api
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.provider.state import GroupState
from loadprobe.errors import ControlError
from loadprobe.run.checks import Check
from loadprobe.run.preflight import preflight
from tests.scripted.receiver import Said, ScriptedReceiver
from tests.support.scenario_stage import group_of, state_of

CONTROL = Control("rg")
LANES = (
    Lane(name="tcp"),
    Lane(name="tls", tls=True),
    Lane(name="tls2", tls=True),
)


async def checks(
    target: Target, folder: Path, *dormant: str, control: Control | None = None
) -> dict[str, Check]:
    """Return the checks of a run by name."""
    config = Config(
        target=target,
        lanes=LANES,
        control=control,
        http=Http(listen=""),
        output=Output(str(folder)),
    )
    found = preflight(config, SharedApi(), dormant=dormant)
    return {check.name: check async for check in found}


async def test_dormant_lanes_are_not_connected_to(tmp_path: Path) -> None:
    """Only the other lanes are; a line says which ones are left out."""
    target = Target(host="127.0.0.1", port=1)
    found = await checks(target, tmp_path, "tls", "tls2")
    assert not found["tcp"].passed
    assert "tls" not in found
    assert found["tls dormant"].passed
    assert found["tls dormant"].detail == (
        "tls, tls2: not connected to now; probing begins when the cluster serves TLS"
    )


async def test_without_an_endpoint_all_lanes_are_dormant(tmp_path: Path) -> None:
    """What can be checked without an endpoint is: certificates, files, the password."""
    found = await checks(Target(), tmp_path, *(lane.name for lane in LANES))
    assert all(check.passed for check in found.values()), found
    assert found.keys() >= {"output", "open files", "certificates", "tcp dormant"}
    assert "dns" not in found


@pytest.mark.parametrize(
    ("way", "detail"),
    [
        ({"address_map": {"cfg.invalid:6379": "127.0.0.1:1"}}, "address_map"),
        (
            {
                "address_map": {"cfg.invalid:6379": "127.0.0.1:1"},
                "tunnel": Tunnel("bastion"),
            },
            "the tunnel",
        ),
    ],
)
async def test_a_name_that_is_reached_otherwise_need_not_resolve(
    tmp_path: Path, way: dict[str, Any], detail: str
) -> None:
    """Outside nobody knows the names inside, and nobody has to."""
    found = await checks(Target("cfg.invalid", **way), tmp_path, "tls", "tls2")
    assert found["dns"].passed
    assert found["dns"].detail == f"cfg.invalid is reached by {detail}"


async def check_receiver(remote: RemoteWrite, folder: Path) -> Check:
    """Return what is said of a receiver."""
    config = Config(
        target=Target(host="127.0.0.1", port=1),
        lanes=LANES[:1],
        http=Http(listen=""),
        output=Output(str(folder)),
        remote_write=remote,
    )
    found = [check async for check in preflight(config, SharedApi())]
    return {check.name: check for check in found}["remote write"]


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (403, "answered 403 Forbidden; check url and login in [remote_write], and"),
        (400, "answered 400 Bad Request: hm; is it a receiver of remote write 1.0?"),
        (503, "answered 503 Service Unavailable: hm; a run goes on without it, and"),
    ],
)
async def test_a_run_does_not_need_its_receiver(
    tmp_path: Path, status: int, detail: str
) -> None:
    """What a receiver answers is told, and keeps no run from beginning."""
    async with ScriptedReceiver(Said(status, "hm")) as receiver:
        found = await check_receiver(RemoteWrite(receiver.url), tmp_path)
        assert detail in found.detail
        assert (found.passed, found.is_needed) == (False, False)
        found = await check_receiver(RemoteWrite(receiver.url), tmp_path)
        assert found.passed
    found = await check_receiver(RemoteWrite(receiver.url), tmp_path)
    assert "cannot be reached" in found.detail
    assert (found.passed, found.is_needed) == (False, False)


async def test_a_run_needs_the_files_of_its_receiver(tmp_path: Path) -> None:
    """What is wrong on this machine is wrong before the run."""
    missing = str(tmp_path / "missing")
    remote = RemoteWrite("https://127.0.0.1:1/", bearer_token_file=missing)
    found = await check_receiver(remote, tmp_path)
    assert "remote_write.bearer_token_file: cannot read" in found.detail
    assert found.is_needed
    assert not found.passed


class Provider:
    """An API that knows a group, or does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
        self._state = state_of(replace(group_of(1), status=status))
        monkeypatch.setattr(shared_api, "open_api", self._open)

    @asynccontextmanager
    async def _open(
        self, control: Control, *, must_exist: bool
    ) -> AsyncIterator["Provider"]:
        assert control == CONTROL
        if must_exist and not self._state.is_there:
            raise ControlError("knows no group 'rg'")
        yield self

    async def describe_state(self, *, missing_ok: bool) -> GroupState:
        """Return the group."""
        return self._state

    async def check(self, folder: Path, *, must_exist: bool) -> Check:
        """Return what is said of the API."""
        config = Config(
            target=Target(),
            lanes=LANES,
            control=CONTROL,
            http=Http(listen=""),
            output=Output(str(folder)),
        )
        dormant = [lane.name for lane in LANES]
        found = preflight(config, SharedApi(), dormant=dormant, must_exist=must_exist)
        (check,) = [check async for check in found if check.name == "api"]
        return check


@pytest.mark.parametrize(
    ("status", "must_exist", "passed", "detail"),
    [
        ("available", True, True, "group 'rg' is available"),
        ("absent", True, False, "knows no group 'rg'"),
        ("absent", False, True, "group 'rg' is to be created"),
        (
            "creating",
            False,
            False,
            (
                "group 'rg' is creating, and is to be created; choose another name, "
                "or delete it"
            ),
        ),
    ],
)
async def test_whether_the_group_is_there(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    status: str,
    must_exist: bool,
    passed: bool,
    detail: str,
) -> None:
    """It has to be, unless it is to be created: then it must not."""
    check = await Provider(monkeypatch, status).check(tmp_path, must_exist=must_exist)
    assert (check.passed, check.detail) == (passed, detail)


async def test_an_endpoint_that_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a host in the configuration the API is asked, and its word is told."""
    Provider(monkeypatch, "absent")
    found = await checks(Target(), tmp_path, control=CONTROL)
    assert not found["endpoint"].passed
    assert found["endpoint"].detail == "knows no group 'rg'"
    assert "dns" not in found
