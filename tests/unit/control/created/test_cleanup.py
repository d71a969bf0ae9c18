"""Groups that a scenario created come to their end, and nobody else's is deleted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Control
from loadprobe.control.created import cleanup, markers
from loadprobe.control.created.cleanup import clean_up, is_created_by, next_call
from loadprobe.control.created.markers import Marker
from loadprobe.control.mutations.marks import CREATED_BY_TAG, MARK_TAG
from loadprobe.control.provider.faults import ApiRefused, ApiUnanswered, ApiUnreachable
from loadprobe.control.provider.state import ABSENT, ApiCall, GroupState, Need
from loadprobe.errors import ControlError
from tests.support.scenario_stage import VirtualLoop, group_of, now_ns, state_of

CONTROL = Control("rg", endpoint_url="http://127.0.0.1:1")
WHERE = "rg at http://127.0.0.1:1"
WRITTEN_S = 500
MARK = "7f3a"
OURS = {CREATED_BY_TAG: "loadprobe", MARK_TAG: MARK}
DELETE, COMPLETE = "DeleteReplicationGroup", "CompleteMigration"
BUSY = ApiRefused("a failover is under way", code="InvalidReplicationGroupState")
DENIED = ApiRefused("not allowed", code="AccessDenied")
LOST = ApiUnanswered("no reply came")

Looks = Sequence[str | Exception]


def group(status: str, *, made_s: int | None = WRITTEN_S) -> GroupState:
    """Return a group of a status, and when it was made."""
    made_ns = None if made_s is None else made_s * NS_PER_S
    return replace(
        state_of(replace(group_of(1), status=status, created_unix_ns=made_ns)),
        tags=OURS,
    )


class Provider:
    """The API of one group: what each look finds, the last one for ever.

    Attributes:
        sent: the calls that came in: (virtual second, operation).
        refuses: what the next calls are answered with; None is accepted.
        told: what was told.
        was_seen: it was seen before.
        tags: what the next looks find of the tags, the last for ever.
    """

    def __init__(
        self, looks: Looks, *, made_s: int | None = WRITTEN_S, now_s: int = 1000
    ) -> None:
        self._looks = list(looks)
        self._made_s = made_s
        self._now_s = now_s
        self.sent: list[tuple[float, str]] = []
        self.refuses: list[Exception | None] = []
        self.told: list[str] = []
        self.was_seen = False
        self.ended_s = 0.0
        self.tags: list[dict[str, str] | None] = [OURS]

    @property
    def provider_now_ns(self) -> int:
        """Return the provider's time."""
        return self._now_s * NS_PER_S + now_ns()

    async def describe_state(self, needs: set[Need], *, missing_ok: bool) -> GroupState:
        """Return what this look finds."""
        assert missing_ok
        assert needs == {Need.TAGS}
        look = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        if isinstance(look, Exception):
            raise look
        tags = self.tags.pop(0) if len(self.tags) > 1 else self.tags[0]
        return replace(group(look, made_s=self._made_s), tags=tags)

    async def send(self, call: ApiCall) -> None:
        """Take a call."""
        self.sent.append((now_ns() / NS_PER_S, call.operation))
        refused = self.refuses.pop(0) if self.refuses else None
        if refused is not None:
            raise refused

    @asynccontextmanager
    async def opened(
        self, control: Control, *, must_exist: bool
    ) -> AsyncIterator["Provider"]:
        """Be opened."""
        assert control == CONTROL
        assert not must_exist
        yield self

    def clean_up(self, marker: Marker) -> bool:
        """Clean up in virtual time."""

        async def run() -> bool:
            try:
                return await clean_up(marker, tell=self.told.append)
            finally:
                self.ended_s = now_ns() / NS_PER_S

        with (
            pytest.MonkeyPatch.context() as patch,
            asyncio.Runner(loop_factory=VirtualLoop) as runner,
        ):
            patch.setattr(cleanup, "open_api", self.opened)
            patch.setattr(cleanup, "mono_now_ns", now_ns)
            return runner.run(run())


@pytest.fixture
def marker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Marker:
    """Return a marker that a process left behind which is gone now."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    markers.write(CONTROL, now_ns=WRITTEN_S * NS_PER_S, mark=MARK)
    (path,) = markers.folder().glob("*.json")
    written = msgspec.json.decode(path.read_bytes(), type=Marker)
    gone = msgspec.structs.replace(written, start_ticks=written.start_ticks - 1)
    path.write_bytes(msgspec.json.encode(gone))
    return gone


@pytest.mark.parametrize("made_s", [499, 500, 7_000])
def test_a_group_made_after_the_marker_is_deleted(marker: Marker, made_s: int) -> None:
    """Clocks agree to about a second; the marker goes with the group."""
    provider = Provider(["available", "available", "deleting", ABSENT], made_s=made_s)
    assert provider.clean_up(marker)
    assert provider.sent == [(0, DELETE)]
    assert provider.told == [
        f"{WHERE}: {DELETE} accepted; waiting for its end",
        f"{WHERE}: is being deleted; waiting until it is gone",
        f"{WHERE}: deleted",
    ]
    assert markers.left_behind() == ()


@pytest.mark.parametrize("made_s", [494, 10_000])
def test_a_group_of_another_time_is_left_alone(marker: Marker, made_s: int) -> None:
    """It was there before, or got its name long after the run: it is somebody's."""
    provider = Provider(["available"], made_s=made_s, now_s=20_000)
    assert provider.clean_up(marker)
    assert provider.sent == []
    assert "left alone" in provider.told[0]
    assert markers.left_behind() == ()


def test_a_group_of_unknown_age_is_left_alone(marker: Marker) -> None:
    """What is not certain is for a person to decide, once it is complete."""
    provider = Provider(["creating", "creating", "available"], made_s=None)
    with pytest.raises(ControlError, match="does not tell when it was made"):
        provider.clean_up(marker)
    assert provider.told == [f"{WHERE}: is 'creating'; waiting"]
    assert provider.sent == []
    assert len(markers.left_behind()) == 1


@pytest.mark.parametrize(
    ("now_s", "is_seen", "waits_s"), [(559, False, 1), (501, True, 0), (561, False, 0)]
)
def test_a_group_that_is_not_there(
    marker: Marker, now_s: int, waits_s: float, *, is_seen: bool
) -> None:
    """One that was asked for just now may still appear, unless it was there before."""
    provider = Provider([ABSENT], now_s=now_s)
    provider.was_seen = is_seen
    assert provider.clean_up(marker)
    assert provider.ended_s == waits_s
    assert provider.told[-1] == f"{WHERE}: already gone"
    assert ("asked for just now" in provider.told[0]) is bool(waits_s)
    assert markers.left_behind() == ()


def test_a_group_that_appears_late(marker: Marker) -> None:
    """It is deleted when it can be; what is waited for is told once."""
    looks = [ABSENT, ABSENT, *["creating"] * 9, "modifying", "available", ABSENT]
    provider = Provider(looks, now_s=501)
    assert provider.clean_up(marker)
    assert provider.told == [
        f"{WHERE}: asked for just now, and not to be seen yet; waiting",
        f"{WHERE}: is 'creating'; waiting until it can be deleted",
        f"{WHERE}: is 'modifying'; waiting until it can be deleted",
        f"{WHERE}: {DELETE} accepted; waiting for its end",
        f"{WHERE}: deleted",
    ]


def test_a_group_that_could_not_be_created_is_deleted(marker: Marker) -> None:
    """What the provider left of it is of no use."""
    provider = Provider(["create-failed"] * 2 + [ABSENT])
    assert provider.clean_up(marker)
    assert provider.sent == [(0, DELETE)]


def test_a_group_that_migrates_is_promoted_first(marker: Marker) -> None:
    """Only then it can be deleted; its data is given up, so that is forced."""
    provider = Provider(["migrating"] * 4 + ["available", ABSENT])
    assert provider.clean_up(marker)
    assert [operation for _, operation in provider.sent] == [COMPLETE, DELETE]
    call = next_call(group("migrating"), MARK)
    assert call is not None
    assert call.arguments["Force"] is True


@pytest.mark.parametrize("fault", [BUSY, LOST, ApiRefused("slower", code="Throttling")])
def test_a_deletion_that_did_not_get_through(marker: Marker, fault: Exception) -> None:
    """It is sent again, until the group is gone."""
    provider = Provider(["available"] * 3 + [ABSENT])
    provider.refuses = [fault]
    assert provider.clean_up(marker)
    assert provider.sent == [(0, DELETE), (0.5, DELETE)]
    assert provider.told[-1] == f"{WHERE}: deleted"


def test_a_deletion_that_shows_no_effect(marker: Marker) -> None:
    """An accepted call shows late; after a minute without any sign it is repeated."""
    provider = Provider(["available"] * 150 + [ABSENT])
    assert provider.clean_up(marker)
    assert provider.sent == [(0, DELETE), (60, DELETE)]


def test_a_group_that_is_gone_between_look_and_call(marker: Marker) -> None:
    """That is what was wanted."""
    provider = Provider(["available", "available", ABSENT])
    provider.refuses = [ApiRefused("no", code="ReplicationGroupNotFoundFault")]
    assert provider.clean_up(marker)
    assert provider.told == [f"{WHERE}: deleted"]


def test_a_refusal_for_good(marker: Marker) -> None:
    """Without the permission nothing can be done, and the marker stays."""
    provider = Provider(["available"])
    provider.refuses = [DENIED]
    with pytest.raises(ApiRefused, match="not allowed"):
        provider.clean_up(marker)
    assert len(markers.left_behind()) == 1


def test_a_provider_that_does_not_answer(marker: Marker) -> None:
    """Minutes are borne, also in the middle; after ten without an answer it ends."""
    provider = Provider([LOST, "available", LOST, "available", ABSENT])
    assert provider.clean_up(marker)
    provider = Provider([ApiUnreachable("no network")])
    with pytest.raises(ApiUnreachable):
        provider.clean_up(marker)
    assert provider.ended_s == pytest.approx(600, abs=1)
    assert provider.told == [f"{WHERE}: no network; trying again"]


def test_a_group_that_never_rests(marker: Marker) -> None:
    """Two hours are waited; then it is said what it is at."""
    provider = Provider(["modifying"])
    with pytest.raises(ControlError) as caught:
        provider.clean_up(marker)
    assert str(caught.value) == (
        f"{WHERE}: not at its end after 7200 s: is 'modifying'; waiting until it can "
        "be deleted; see its events for the reason"
    )
    assert len(markers.left_behind()) == 1


def test_a_group_whose_run_goes_on(marker: Marker) -> None:
    """Nothing is asked, nothing deleted."""
    provider = Provider(["available"])
    markers.write(CONTROL, now_ns=WRITTEN_S * NS_PER_S, mark=MARK)
    owned = markers.own(CONTROL)
    assert owned is not None
    assert not provider.clean_up(owned)
    assert "still runs" in provider.told[0]
    assert provider.sent == []


@pytest.mark.parametrize(
    "status", ["creating", "modifying", "deleting", "snapshotting"]
)
def test_what_cannot_be_deleted_yet(status: str) -> None:
    """Nothing is sent to a group at work."""
    assert next_call(group(status), MARK) is None


def test_the_age_of_a_group(marker: Marker) -> None:
    """Five seconds are granted to the clocks, no more."""
    assert is_created_by(marker, group("available", made_s=495))
    assert not is_created_by(marker, group("available", made_s=494))


def test_a_group_that_another_run_created_is_left_alone(marker: Marker) -> None:
    """Its name and its age are right, its mark is another's: so the note is wrong."""
    provider = Provider(["available"])
    provider.tags = [OURS | {MARK_TAG: "another"}]
    assert provider.clean_up(marker)
    assert provider.sent == []
    (told,) = provider.told
    assert told == (
        f"{WHERE}: left alone: its tag {MARK_TAG} is not that of the group that was "
        "created; the note is removed"
    )
    assert markers.left_behind() == ()


@pytest.mark.parametrize("status", ["available", "create-failed", "migrating"])
def test_a_group_without_a_mark_is_left_alone(marker: Marker, status: str) -> None:
    """Somebody made it when our creation was never sent; a person has to decide."""
    provider = Provider([status])
    provider.tags = [{CREATED_BY_TAG: "loadprobe"}]
    with pytest.raises(ControlError) as caught:
        provider.clean_up(marker)
    assert str(caught.value) == (
        f"{WHERE}: it has no tag {MARK_TAG}, which the group that was created has, so "
        "whether loadprobe created it is not certain, and nothing is deleted; delete "
        f"it yourself if it is yours, then remove {markers.file_of(CONTROL)}"
    )
    assert provider.sent == []
    assert len(markers.left_behind()) == 1


def test_the_mark_is_compared_before_every_call(marker: Marker) -> None:
    """A group that was replaced by another between two calls is not deleted."""
    provider = Provider(["migrating", "migrating", "available"])
    provider.tags = [OURS, OURS, OURS | {MARK_TAG: "another"}]
    assert provider.clean_up(marker)
    assert [operation for _, operation in provider.sent] == [COMPLETE]
    assert "left alone" in provider.told[-1]


def test_tags_that_are_told_late(marker: Marker) -> None:
    """A group that just began to change tells none; that is waited for."""
    provider = Provider(["available"] * 5 + [ABSENT])
    provider.tags = [None, None, OURS]
    assert provider.clean_up(marker)
    assert provider.sent == [(0.5, DELETE)]
    assert provider.told[0] == f"{WHERE}: its tags cannot be read yet; waiting"


def test_tags_that_are_never_told(marker: Marker) -> None:
    """Without them nothing is deleted, and that is said."""
    provider = Provider(["available"])
    provider.tags = [None]
    with pytest.raises(ControlError, match="does not tell its tags"):
        provider.clean_up(marker)
    assert provider.sent == []
    assert provider.ended_s == pytest.approx(30, abs=1)
    assert len(markers.left_behind()) == 1


def test_a_throttled_look_at_the_tags(marker: Marker) -> None:
    """It is made again; until it succeeds, nothing is deleted."""
    slower = ApiRefused("ListTagsForResource: slower", code="Throttling")
    provider = Provider(["available", slower, slower, "available", ABSENT])
    assert provider.clean_up(marker)
    assert provider.sent == [(1.0, DELETE)]
    provider = Provider([slower])
    with pytest.raises(ApiRefused, match="slower"):
        provider.clean_up(marker)
    assert provider.sent == []


def test_a_note_without_a_mark(marker: Marker) -> None:
    """What an earlier version wrote is no proof."""
    provider = Provider(["available"])
    with pytest.raises(ControlError, match="of a version that wrote no marks"):
        provider.clean_up(msgspec.structs.replace(marker, mark=""))
    assert provider.sent == []
