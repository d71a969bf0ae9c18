"""A group that a run created and left behind is deleted by the next clean-up."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.config.keys import Control
from loadprobe.control.created import markers
from loadprobe.control.created.cleanup import clean_up
from loadprobe.control.created.markers import Marker
from loadprobe.control.mutations.lifecycle import CreateGroup
from loadprobe.control.provider.api import open_api
from loadprobe.local.api.control_plane import ControlPlane


def abandon(control: Control, *, now_ns: int) -> Marker:
    """Mark a group as created by a process of another boot."""
    markers.write(control, now_ns=now_ns)
    (path,) = markers.folder().glob("*.json")
    marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    path.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(marker, boot_id="another"))
    )
    (found,) = markers.left_behind()
    return found


async def test_a_created_group_is_found_and_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its age tells that it is ours; once it is gone, so is the note of it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    told: list[str] = []
    async with ControlPlane() as plane:
        control = Control("made", endpoint_url=plane.endpoint_url)
        async with open_api(control, must_exist=False) as api:
            now_ns = api.provider_now_ns
            creation = CreateGroup(1, 0, "cache.t4g.micro", engine="redis")
            (call,) = creation.plan(await api.describe_state(missing_ok=True))
            await api.send(call)
            assert (await api.describe_group()).created_unix_ns is not None

            an_hour_ns = 3_600 * 10**9
            early = abandon(control, now_ns=now_ns + an_hour_ns)
            assert await clean_up(early, tell=told.append)
            assert (await api.describe_state(missing_ok=True)).is_there
            assert "left alone" in told.pop()

            marker = abandon(control, now_ns=now_ns)
            assert await clean_up(marker, tell=told.append)
            where = f"made at {plane.endpoint_url}"
            assert told[:2] == [
                f"{where}: is 'creating'; waiting until it can be deleted",
                f"{where}: DeleteReplicationGroup accepted; waiting for its end",
            ]
            assert told[-1] == f"{where}: deleted"
            assert not (await api.describe_state(missing_ok=True)).is_there
        assert markers.left_behind() == ()

        gone = abandon(control, now_ns=now_ns - an_hour_ns)
        assert await clean_up(gone, tell=told.append)
        assert told[-1] == f"made at {plane.endpoint_url}: already gone"
