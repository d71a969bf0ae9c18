"""The background process: up, status, down, and no way to leave anything behind."""

import asyncio
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from loadprobe.config.keys import Control
from loadprobe.control.provider import clients
from loadprobe.control.provider.api import open_api
from loadprobe.control.provider.faults import ApiRefused
from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.api.control_plane import FAULTS_PATH, GROUPS_PATH
from loadprobe.local.background import down, list_groups, status, up
from loadprobe.local.cluster.folders import temp_folder
from loadprobe.local.cluster.processes import send_signal, start_ticks
from loadprobe.local.serve import LocalOptions
from loadprobe.local.state import LocalState, state_path, write_state

DEADLINE_S = 20.0
SMALL = LocalOptions(name="small", shards=1, replicas=0, tls=False)


@pytest_asyncio.fixture(autouse=True)
async def own_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Use folders of this test alone, and end what a failed test left running."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    await down(SMALL.name)


def servers_of(state: LocalState) -> list[tuple[int, int]]:
    """Return (pid, start ticks) of the servers that a background process runs."""
    children = Path(f"/proc/{state.pid}/task/{state.pid}/children").read_text()
    found = [(int(pid), start_ticks(int(pid))) for pid in children.split()]
    return [(pid, ticks) for pid, ticks in found if ticks is not None]


async def all_gone(processes: list[tuple[int, int]]) -> None:
    """Wait until none of the processes lives."""
    async with asyncio.timeout(DEADLINE_S):
        while any(start_ticks(pid) == ticks for pid, ticks in processes):
            await asyncio.sleep(0.01)


def key(state: LocalState) -> dict[str, str]:
    """Return the header that opens the API."""
    return {"Authorization": f"Bearer {state.access_key}"}


async def test_only_who_has_the_key_may_use_the_api() -> None:
    """An SDK with it, loadprobe itself; nobody with another, or with none."""
    state = await up(LocalOptions(name="small", shards=0))
    assert stat.S_IMODE(state_path("small").stat().st_mode) == 0o600
    assert len(state.access_key) == 32
    control = Control("made", endpoint_url=state.endpoint_url)
    async with open_api(control, must_exist=False) as api:
        assert not (await api.describe_state(missing_ok=True)).is_there
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "local_key", lambda _: None)
        with pytest.raises(ApiRefused, match="not that of this local control plane"):
            async with open_api(control, must_exist=False):
                pass
    request = {"Action": "DescribeReplicationGroups"}
    headers: list[dict[str, str]] = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {state.access_key[:-1]}"},
        {"Authorization": f"AWS4-HMAC-SHA256 Credential=no/{state.access_key}/x"},
    ]
    async with aiohttp.ClientSession() as session:
        for each in headers:
            for path in ("", FAULTS_PATH, GROUPS_PATH):
                url = state.endpoint_url + path
                for method in ("GET", "POST", "DELETE"):
                    async with session.request(
                        method, url, data=request, headers=each
                    ) as response:
                        assert response.status == 403


async def test_up_status_down(tmp_path: Path) -> None:
    """Up returns a reachable cluster, status finds it, down leaves nothing behind."""
    password_file = tmp_path / "password"
    password_file.write_text("secret-word\n")
    steps: list[str] = []
    options = LocalOptions(
        name="small", shards=1, replicas=1, password_file=str(password_file)
    )
    state = await up(options, progress=steps.append)
    assert steps[0] == "starting 2 servers (1 shards)"
    assert status("small") == state
    assert [node.name for node in state.nodes] == ["small-0001-001", "small-0001-002"]
    assert state.ca_file is not None
    assert Path(state.ca_file).exists()
    assert stat.S_IMODE(state_path("small").stat().st_mode) == 0o600
    assert "secret-word" not in state_path("small").read_text()
    request = {"Action": "DescribeReplicationGroups", "ReplicationGroupId": "small"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(state.endpoint_url, data=request, headers=key(state)) as response,
    ):
        assert response.status == 200
    with pytest.raises(UsageError, match="it runs already"):
        await up(options)

    processes = [(state.pid, state.start_ticks), *servers_of(state)]
    assert len(processes) == 3
    assert await down("small") == state
    await all_gone(processes)
    assert status("small") is None
    assert not state_path("small").exists()
    assert list(temp_folder().glob("cluster-*")) == []
    assert await down("small") is None


async def test_an_api_without_a_group_makes_groups_that_end_with_it() -> None:
    """It begins empty, tells of groups made through it, and takes them down."""
    state = await up(LocalOptions(name="small", shards=0, settle_delay_s=0))
    assert (state.replication_group_id, state.nodes) == ("", [])
    assert await list_groups(state) == []
    request = {
        "Action": "CreateReplicationGroup",
        "ReplicationGroupId": "made",
        "ReplicationGroupDescription": "by hand",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(state.endpoint_url, data=request, headers=key(state)) as response,
    ):
        assert response.status == 200
    async with asyncio.timeout(DEADLINE_S):
        while (await list_groups(state))[0].status != "available":
            await asyncio.sleep(0.05)
    (group,) = await list_groups(state)
    assert (group.group_id, group.shards, group.nodes) == ("made", 1, 1)
    assert (group.cluster_mode, group.tls_mode) == (False, "none")
    assert group.port is not None
    servers = servers_of(state)
    assert len(servers) == 1
    assert await down("small") == state
    await all_gone(servers)
    with pytest.raises(RunError, match="asking http://.*/loadprobe/groups"):
        await list_groups(state)


async def test_a_killed_background_process_leaves_no_servers() -> None:
    """After SIGKILL the servers die with it, and down clears what it left."""
    state = await up(SMALL)
    servers = servers_of(state)
    assert len(servers) == 1
    assert send_signal(state.pid, state.start_ticks, signal.SIGKILL)
    await all_gone([(state.pid, state.start_ticks), *servers])
    assert status("small") is None
    assert list(temp_folder().glob("cluster-*")) != []
    assert await down("small") is None
    assert list(temp_folder().glob("cluster-*")) == []


async def test_a_reused_pid_is_never_signalled() -> None:
    """A state file that names a living process with another start harms nobody."""
    state = await up(SMALL)
    ended = await down("small")
    assert ended is not None
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    write_state(msgspec.structs.replace(state, pid=stranger.pid, start_ticks=1))
    assert status("small") is None
    assert await down("small") is None
    assert start_ticks(stranger.pid) is not None
    stranger.kill()
    await stranger.wait()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            LocalOptions(name="small", server="/nowhere/redis-server"),
            PreflightError,
            "no such program",
        ),
        (
            LocalOptions(name="small", password_file="/nowhere/password"),
            PreflightError,
            "reading the password from password_file = '/nowhere/password'",
        ),
    ],
)
async def test_a_start_that_fails_says_why(
    options: LocalOptions, error: type[Exception], text: str
) -> None:
    """What stops the background process is raised where it was started."""
    with pytest.raises(error, match=text):
        await up(options)
    assert status("small") is None


async def test_a_process_that_dies_silently_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A background process that ends without an answer is an error with its log."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\ncat >/dev/null\necho 'no luck today' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(RunError, match=r"(?s)ended without an answer.*no luck today"):
        await up(SMALL)


PARENT = """
import asyncio, sys, msgspec
from loadprobe.local import LocalOptions, up

state = asyncio.run(up(msgspec.json.decode(sys.argv[1], type=LocalOptions)))
print(state.pid, state.start_ticks, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("die_with_parent", [True, False])
async def test_dies_with_its_parent_only_if_asked(die_with_parent: bool) -> None:
    """With die_with_parent it cleans up and ends with its parent; else it stays."""
    asked = (
        '{"name": "small", "shards": 1, "replicas": 0, "tls": false, '
        f'"die_with_parent": {str(die_with_parent).lower()}}}'
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        asked,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    words = (await parent.stdout.readline()).split()
    process = (int(words[0]), int(words[1]))
    parent.kill()
    await parent.wait()
    if die_with_parent:
        await all_gone([process])
        assert not state_path("small").exists()
        assert list(temp_folder().glob("cluster-*")) == []
    else:
        state = status("small")
        assert state is not None
        assert (state.pid, state.start_ticks) == process
