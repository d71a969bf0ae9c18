"""A group that a run created and left behind is deleted by the next clean-up."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.config.keys import Control
from loadprobe.control.created import markers
from loadprobe.control.created.cleanup import clean_up
from loadprobe.control.created.markers import Marker
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.provider.api import open_api
from loadprobe.control.provider.state import Need
from loadprobe.errors import ControlError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster

MARK = markers.new_mark()


def abandon(control: Control, *, now_ns: int, mark: str = MARK) -> Marker:
    """Mark a group as created by a process of another boot."""
    markers.write(control, now_ns=now_ns, mark=mark)
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
    """Its age and mark tell that it is ours; once it is gone, so is the note of it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    told: list[str] = []
    async with ControlPlane() as plane:
        control = Control("made", endpoint_url=plane.endpoint_url)
        async with open_api(control, must_exist=False) as api:
            now_ns = api.provider_now_ns
            creation = CreateGroup(1, 0, "cache.t4g.micro", engine="redis", mark=MARK)
            (call,) = creation.plan(await api.describe_state(missing_ok=True))
            await api.send(call)
            assert (await api.describe_group()).created_unix_ns is not None

            an_hour_ns = 3_600 * 10**9
            early = abandon(control, now_ns=now_ns + an_hour_ns)
            assert await clean_up(early, tell=told.append)
            assert (await api.describe_state(missing_ok=True)).is_there
            assert "left alone" in told.pop()

            foreign = abandon(control, now_ns=now_ns, mark=markers.new_mark())
            assert await clean_up(foreign, tell=told.append)
            assert (await api.describe_state(missing_ok=True)).is_there
            assert "left alone: its tag loadprobe:mark is not that" in told.pop()
            told.clear()

            marker = abandon(control, now_ns=now_ns)
            assert await clean_up(marker, tell=told.append)
            where = f"made at {plane.endpoint_url}"
            assert told[0] == (
                f"{where}: DeleteReplicationGroup accepted; waiting for its end"
            )
            assert told[-1] == f"{where}: deleted"
            assert not (await api.describe_state(missing_ok=True)).is_there
        assert markers.left_behind() == ()

        gone = abandon(control, now_ns=now_ns - an_hour_ns)
        assert await clean_up(gone, tell=told.append)
        assert told[-1] == f"made at {plane.endpoint_url}: already gone"


async def test_a_group_that_somebody_made_by_hand_is_not_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Right name, right time, no mark: neither cleanup nor a delete step touches it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    knobs = Knobs(modifying_delay_s=0.1, settle_delay_s=0.1)
    async with ControlPlane(knobs=knobs) as plane, LocalCluster(shards=1) as cluster:
        control = Control("made", endpoint_url=plane.endpoint_url)
        plane.add_group("made", cluster)
        async with open_api(control) as api:
            marker = abandon(control, now_ns=api.provider_now_ns - 10**9)
            with pytest.raises(ControlError, match="has no tag loadprobe:mark"):
                await clean_up(marker, tell=lambda _: None)
            state = await api.describe_state({Need.TAGS})
            with pytest.raises(ControlError, match="nothing is deleted"):
                DeleteGroup(MARK).plan(state)
            assert (await api.describe_group()).status == "available"
        assert len(markers.left_behind()) == 1
