"""What a request to the local control plane cannot do: leave its folder, say."""

import os
import socket
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from loadprobe.errors import UsageError
from loadprobe.liveness import start_ticks
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.cluster import folders
from loadprobe.local.serve import LocalOptions

WISH = {
    "Action": "CreateReplicationGroup",
    "Version": "2015-02-02",
    "ReplicationGroupId": "fine",
    "ReplicationGroupDescription": "x",
}
IDS = [
    "../../outside",
    "/tmp/outside",
    "a/b",
    "a\\b",
    "-h",
    "--save",
    "a--b",
    "a-",
    "a\n",
    "a\0b",
    "a b",
    ".",
    "..",
    "1a",
    "é",
    "a" * 41,
    "%2e%2e",
    "${HOME}",
    "a;b",
]


async def refusal(plane: ControlPlane, changes: dict[str, str]) -> str:
    """Ask for a group; return the code of the fault."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(plane.endpoint_url, data=WISH | changes) as reply,
    ):
        text = await reply.text()
        assert reply.status in {400, 404}, text
    return text.partition("<Code>")[2].partition("</Code>")[0]


async def test_an_id_names_no_place_and_is_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes the name of servers and folders: what is none is refused before."""
    monkeypatch.setattr(folders, "state_folders", lambda: [tmp_path / "of-clusters"])
    async with ControlPlane() as plane:
        for each in IDS:
            code = await refusal(plane, {"ReplicationGroupId": each})
            assert code == "InvalidParameterValue", each
        assert plane._plane.groups == {}
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Engine": "/bin/sh"}, "InvalidParameterValue"),
        ({"Engine": "../redis"}, "InvalidParameterValue"),
        ({"EngineVersion": "--version"}, "InvalidParameterCombination"),
        ({"CacheNodeType": "-x"}, "InvalidParameterValue"),
        (
            {"CacheParameterGroupName": "default.redis7\nsave"},
            "CacheParameterGroupNotFound",
        ),
        (
            {
                "TransitEncryptionEnabled": "true",
                "AuthToken": "sixteen-letters-\nenable-debug-command yes",
            },
            "InvalidParameterValue",
        ),
        ({"SnapshotArns.SnapshotArn.1": "../dump.rdb"}, "InvalidParameterValue"),
        ({"SnapshotArns.SnapshotArn.1": "/dev/zero"}, "SnapshotNotFoundFault"),
    ],
)
async def test_values_are_no_settings_of_a_server(
    changes: dict[str, str], code: str
) -> None:
    """Neither another program nor a further line of its configuration comes of them."""
    async with ControlPlane() as plane:
        assert await refusal(plane, changes) == code
        assert plane._plane.groups == {}


async def test_it_listens_on_loopback_alone() -> None:
    """The API and its name server; neither is reached by another address of ours."""
    async with ControlPlane() as plane:
        port = int(plane.endpoint_url.rpartition(":")[2])
        names = int(plane.name_server.rpartition(":")[2])
        with socket.socket() as other:
            # The whole of 127/8 is this machine, and stands for its other addresses.
            assert other.connect_ex(("127.0.0.2", port)) != 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", names))  # free, unless it listens everywhere


@pytest.mark.parametrize("name", ["../x", "/x", "-x", "a\n", "A", "a/b", "", "a" * 31])
def test_the_name_of_a_local_cluster_is_a_word(name: str) -> None:
    """It is a part of the names of files."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": name}, LocalOptions)


def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that others may write to, or a link."""
    monkeypatch.setattr(folders, "state_folders", lambda: [tmp_path / "ours"])
    (tmp_path / "ours").mkdir(mode=0o755)
    with pytest.raises(UsageError, match="mode 0700"):
        folders.runtime_folder()
    (tmp_path / "ours").rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "ours").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="real folder"):
        folders.runtime_folder()
    (tmp_path / "ours").unlink()
    (tmp_path / "ours").mkdir(mode=0o700)
    stat: Any = os.lstat

    class Foreign:
        st_mode, st_uid = 0o40700, os.getuid() + 1

    monkeypatch.setattr(Path, "lstat", lambda path: Foreign() if path else stat(path))
    with pytest.raises(UsageError, match="belongs to uid"):
        folders.runtime_folder()


def test_only_folders_of_dead_owners_are_removed(tmp_path: Path) -> None:
    """What lives, is of another namespace, or is not named so at all, stays."""
    space = Path("/proc/self/ns/pid").stat().st_ino
    ticks = start_ticks(os.getpid())
    dead = f"cluster-{space}-{os.getpid()}-1-x"
    staying = [
        f"cluster-{space}-{os.getpid()}-{ticks}-x",
        f"cluster-{space + 1}-{os.getpid()}-1-x",
        f"cluster-{space}-notes",
        f"cluster-{space}-a-b-c",
        "cluster-of-somebody",
        "documents",
    ]
    for name in (dead, *staying):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    assert folders.remove_abandoned(tmp_path) == [tmp_path / dead]
    assert {path.name for path in tmp_path.iterdir()} == set(staying)
    assert all((tmp_path / name / "file").exists() for name in staying)
