"""Ends groups that loadprobe created: that of a run at its end, and those left behind.

What may be deleted is told by a marker (see ``markers``), which goes with its group,
and by the tag that carries its mark: the two are compared before every call. A group
that is being changed cannot be deleted, so its rest is waited for. Deleting twice does
no harm: a call whose reply was lost is simply made again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.created import markers
from loadprobe.control.created.markers import Marker
from loadprobe.control.mutations.lifecycle import DeleteGroup
from loadprobe.control.mutations.marks import MARK_TAG, carries, not_ours
from loadprobe.control.mutations.migrations import CompleteMigration, is_syncing
from loadprobe.control.provider.api import ElastiCacheApi, open_api
from loadprobe.control.provider.faults import (
    ApiFault,
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
)
from loadprobe.control.provider.kinds import NOT_FOUND
from loadprobe.control.provider.state import (
    AT_REST,
    AVAILABLE,
    CREATE_FAILED,
    DELETING,
    MIGRATING,
    ApiCall,
    GroupState,
    Need,
)
from loadprobe.errors import ControlError

VISIBLE_S = 60.0
"""A group that was asked for may not be shown before."""

_CLOCK_SLACK_NS = 5 * NS_PER_S
"""The provider's time is known to about a second (see ``Call.offset_ns``)."""

_ASKED_WITHIN_NS = 7200 * NS_PER_S
"""A group is asked for within minutes of its marker, and created in less than an hour:
one made later is another, that somebody gave the same name."""

_TAGS_S = 30.0
"""A group that began to change between two calls does not tell its tags."""

_REPEAT_S = 60.0
"""A call that was accepted is made again if nothing came of it in this time."""

_SILENCE_S = 600.0
"""A provider that does not answer for so long is given up."""

_DEADLINE_S = 7200.0
"""For all of it: creating and resharding take up to three quarters of an hour."""

_BUSY = frozenset(
    {
        "InvalidReplicationGroupState",
        "InvalidCacheClusterState",
        "InvalidServerlessCacheStateFault",
    }
)
"""Refusals of a group that is at work; in a failover its status does not tell."""

Tell = Callable[[str], None]


async def clean_up(marker: Marker, *, tell: Tell, visible_s: float = VISIBLE_S) -> bool:
    """Delete what a marker of a dead owner stands for, and remove the marker.

    Args:
        marker: one of ``markers.left_behind``.
        tell: called with one line of progress, or the outcome.
        visible_s: a group that is not to be seen so long after it was asked for is
            gone.

    Returns:
        False if the owner lives: group and marker were left alone.

    Raises:
        ControlError: the API refused, or did not answer; the marker stays.
    """
    if marker.is_owned:
        tell(f"{marker.where}: process {marker.pid}, which created it, still runs")
        return False
    async with open_api(marker.control, must_exist=False) as api:
        await delete_created(api, marker, tell=tell, visible_s=visible_s)
    return True


async def delete_created(
    api: ElastiCacheApi, marker: Marker, *, tell: Tell, visible_s: float = VISIBLE_S
) -> None:
    """Delete the group that a marker stands for as soon as it can be, with the marker.

    Args:
        api: the open API of the group.
        marker: nobody else is at work for it.
        tell: called with one line of progress, or the outcome.
        visible_s: as for ``clean_up``.

    Raises:
        ControlError: the API refused, or did not answer; the marker stays.
    """
    ending = _Ending(api, marker, tell, visible_s=visible_s)
    async with ending.bounded():
        if await ending.find() is not None:
            await ending.delete()
    markers.remove(marker.control)


def is_created_by(marker: Marker, state: GroupState) -> bool:
    """Tell whether a group can be the one that a marker announced.

    Raises:
        ControlError: the provider does not tell when it was made.
    """
    created_ns = state.group.created_unix_ns
    if created_ns is None:
        raise ControlError(
            f"{marker.where}: the provider does not tell when it was made, so whether "
            "loadprobe created it is not certain; delete it yourself if it is yours"
        )
    age_ns = created_ns - marker.written_unix_ns
    return -_CLOCK_SLACK_NS <= age_ns <= _ASKED_WITHIN_NS


def is_marked_by(marker: Marker, state: GroupState) -> bool:
    """Tell whether a group at rest carries the mark that it was to be created with.

    Returns:
        False if it carries another: somebody else's run created it.

    Raises:
        ControlError: it carries none, or none that is known here: a person has to
            decide.
    """
    if carries(state, marker.mark):
        return True
    if not marker.mark:
        reason = "the note of it is of a version that wrote no marks"
    elif MARK_TAG in (state.tags or {}):
        return False
    else:
        reason = not_ours(state)
    raise ControlError(
        f"{marker.where}: {reason}, so whether loadprobe created it is not certain, "
        f"and nothing is deleted; delete it yourself if it is yours, then remove "
        f"{markers.file_of(marker.control)}"
    )


def next_call(state: GroupState, mark: str) -> ApiCall | None:
    """Return what brings a group nearer to its end; None while it has to be waited for.

    A migration is ended by force: without that it waits for the source, and the data
    is given up anyway.

    Args:
        state: the group, with its tags.
        mark: it carries it.
    """
    status = state.group.status
    if status == MIGRATING or is_syncing(state):
        (call,) = CompleteMigration(force=True).plan(state)
    elif status in {AVAILABLE, CREATE_FAILED}:
        (call,) = DeleteGroup(mark).plan(state)
    else:
        return None
    return call


class _Ending:
    """The end of one group."""

    def __init__(
        self, api: ElastiCacheApi, marker: Marker, tell: Tell, *, visible_s: float
    ) -> None:
        self._api = api
        self._marker = marker
        self._write = tell
        self._visible_ns = int(visible_s * NS_PER_S)
        self._patience = Patience(limit_s=_SILENCE_S)
        self._answered_ns = mono_now_ns()
        self._accepted_ns: dict[str, int] = {}
        self._untold_ns: int | None = None
        self._told = ""

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Give the block its time, and no more."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                yield
        except TimeoutError:
            raise ControlError(
                f"{self._marker.where}: not at its end after {_DEADLINE_S:g} s: "
                f"{self._told}; see its events for the reason"
            ) from None

    async def find(self) -> GroupState | None:
        """Return the group; None if it is gone, or is not the one that was created."""
        while True:
            state = await self._look()
            if not state.is_there:
                if self._is_gone():
                    self._tell("already gone")
                    return None
                self._tell("asked for just now, and not to be seen yet; waiting")
            elif (
                state.group.created_unix_ns is None
                and state.group.status not in AT_REST
            ):  # it may be told once the group is complete
                self._tell(f"is {state.group.status!r}; waiting")
            elif is_created_by(self._marker, state):
                return state
            else:
                self._tell(
                    f"left alone: this {state.group.kind.word} was not made when the "
                    "run that would have created it was; the note of it is removed"
                )
                return None
            await self._pause()

    async def delete(self) -> None:
        """Delete it as soon as it can be, and wait until it is gone."""
        while (state := await self._look()).is_there:
            status = state.group.status
            if status in AT_REST and self._may_still_tell(state):
                self._tell("its tags cannot be read yet; waiting")
            elif status in AT_REST:
                if not is_marked_by(self._marker, state):
                    self._tell(f"left alone: {not_ours(state)}; the note is removed")
                    return
                call = next_call(state, self._marker.mark)
                assert call is not None, "it is at rest"
                await self._send(call)
            elif status == DELETING:
                self._tell("is being deleted; waiting until it is gone")
            else:
                self._tell(f"is {status!r}; waiting until it can be deleted")
            await self._pause()
        self._tell("deleted")

    def _is_gone(self) -> bool:
        # What was seen by this process and is seen no more is not late.
        age_ns = self._api.provider_now_ns - self._marker.written_unix_ns
        return self._api.was_seen or age_ns >= self._visible_ns

    def _may_still_tell(self, state: GroupState) -> bool:
        """Tell whether tags that are not told may be, if they are asked for again."""
        if state.tags is not None:
            self._untold_ns = None
            return False
        self._untold_ns = self._untold_ns or mono_now_ns()
        return mono_now_ns() - self._untold_ns < _TAGS_S * NS_PER_S

    async def _look(self) -> GroupState:
        while True:
            try:
                state = await self._api.describe_state({Need.TAGS}, missing_ok=True)
            except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
                self._tolerate(fault)
            else:
                self._patience.reset()
                self._answered_ns = mono_now_ns()
                return state
            await self._pause()

    async def _send(self, call: ApiCall) -> None:
        """Make a call, unless it was accepted just now."""
        accepted_ns = self._accepted_ns.get(call.operation)
        now_ns = mono_now_ns()
        if accepted_ns is not None and now_ns - accepted_ns < _REPEAT_S * NS_PER_S:
            return
        try:
            await self._api.send(call)
        except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
            code = fault.code if isinstance(fault, ApiRefused) else ""
            if code in _BUSY:
                self._tell(f"is at work and cannot be deleted yet ({code}); waiting")
            elif code not in NOT_FOUND:
                self._tolerate(fault)
        else:
            self._accepted_ns[call.operation] = now_ns
            self._tell(f"{call.operation} accepted; waiting for its end")

    def _tolerate(self, fault: ApiFault) -> None:
        """Go on after a fault that may pass; else raise it."""
        self._patience.tolerate(fault)
        if mono_now_ns() - self._answered_ns > _SILENCE_S * NS_PER_S:
            raise fault
        self._tell(f"{fault}; trying again")

    async def _pause(self) -> None:
        await asyncio.sleep(self._marker.control.poll_s)

    def _tell(self, text: str) -> None:
        """Tell something, unless it is what was told last."""
        if text != self._told:
            self._told = text
            self._write(f"{self._marker.where}: {text}")
