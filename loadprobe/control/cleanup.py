"""Deletes the groups that earlier runs created and left behind (see ``markers``)."""

from collections.abc import Callable

from loadprobe.clock import NS_PER_S
from loadprobe.control import markers
from loadprobe.control.api import ElastiCacheApi, open_api
from loadprobe.control.lifecycle import DeleteGroup
from loadprobe.control.markers import Marker
from loadprobe.control.secret import Secret
from loadprobe.control.settle import mutate
from loadprobe.control.shapes import Endpoint, Group
from loadprobe.control.state import GroupState
from loadprobe.core.events import Event
from loadprobe.core.topology import Topology
from loadprobe.errors import ControlError

_CLOCK_SLACK_NS = 5 * NS_PER_S
"""The provider's time is known to about a second (see ``shapes.Call.offset_ns``)."""

_VISIBLE_NS = 60 * NS_PER_S
"""A group that was asked for just before its owner died may not be shown yet."""

_DEADLINE_S = 3600.0

Tell = Callable[[str], None]


async def clean_up(marker: Marker, *, tell: Tell, poll_s: float = 10.0) -> bool:
    """Delete what a marker of a dead owner stands for, and remove the marker.

    Args:
        marker: one of ``markers.left_behind``.
        tell: called with one line of progress, or the outcome.
        poll_s: pause between looks at the API.

    Returns:
        False if the group was left alone, and the marker with it.

    Raises:
        ControlError: the API refused, or did not answer.
    """
    if marker.is_owned:
        tell(f"{marker.where}: process {marker.pid}, which created it, still runs")
        return False
    async with open_api(marker.control, must_exist=False) as api:
        state = await api.describe_state(missing_ok=True)
        if not state.is_there:
            age_ns = api.provider_now_ns - marker.written_unix_ns
            if age_ns < _VISIBLE_NS:
                tell(
                    f"{marker.where}: not to be seen, but it was asked for only "
                    f"{age_ns / NS_PER_S:.0f} s ago; try again in a minute"
                )
                return False
            tell(f"{marker.where}: already gone")
        elif not is_created_by(marker, state):
            tell(
                f"{marker.where}: left alone: this group was made before the run that "
                "would have created it; the note of it is removed"
            )
        else:
            await _delete(api, marker, tell=tell, poll_s=poll_s)
        markers.remove(marker.control)
    return True


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
    return created_ns >= marker.written_unix_ns - _CLOCK_SLACK_NS


async def _delete(
    api: ElastiCacheApi, marker: Marker, *, tell: Tell, poll_s: float
) -> None:
    def tell_phase(event: Event) -> None:
        phase = event.fields.get("phase")
        if phase == "accepted":
            tell(f"{marker.where}: deletion accepted; waiting until it is gone")

    await mutate(
        api,
        DeleteGroup(),
        step="cleanup",
        emit=tell_phase,
        topology=Unwatched(),
        deadline_s=_DEADLINE_S,
        poll_s=poll_s,
    )
    tell(f"{marker.where}: deleted")


class Unwatched:
    """The topology of a cluster that nobody connects to."""

    current: Topology | None = None

    async def wait_for(
        self,
        predicate: Callable[[Topology], bool],  # noqa: ARG002 - the protocol's
        deadline_s: float,  # noqa: ARG002 - the protocol's
    ) -> bool:
        """Return False: it will never be known."""
        return False

    async def linked_replicas(self, shard: str) -> int:  # noqa: ARG002 - the protocol's
        """Return 0: nobody asked."""
        return 0

    async def follows_source(self, endpoint: Endpoint) -> bool:  # noqa: ARG002 - the protocol's
        """Return False: nobody asked."""
        return False

    def follow(self, group: Group) -> None:
        """Do nothing: there is nobody to lead anywhere."""

    def use_password(self, password: Secret) -> None:
        """Do nothing: nobody logs in."""
