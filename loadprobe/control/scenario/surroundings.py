"""What a scenario works on, and whom it tells."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from loadprobe.config.keys import SDK_VARIABLES, Config, Control
from loadprobe.control.mutations.signs import TopologySource
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.state import GroupState, Need, no_group
from loadprobe.control.scenario.lanes import LaneControl, LoadView
from loadprobe.core.events import Emit


class Ways(Protocol):
    """Who knows the ways to the nodes."""

    async def ask_way(self, host: str, port: int) -> None:
        """Have a way to an endpoint made, if it takes one."""

    def was_blocked(self, since_ns: int) -> bool:
        """Tell whether all ways were blocked at some time since then, monotonic."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The run around a scenario.

    Args:
        config: where the lanes are at first, and which group it is about.
        api: the open API of the group; None: the scenario is about none.
        topology: the running topology watch.
        lanes: the lanes of the run.
        load: the measurement.
        emit: where events go.
        ways: how nodes are reached.
        withheld: environment variables that no process of ours inherits: secrets.
    """

    config: Config
    api: ElastiCacheApi | None
    topology: TopologySource
    lanes: LaneControl
    load: LoadView
    emit: Emit
    ways: Ways
    withheld: frozenset[str] = frozenset()

    @property
    def withheld_from_others(self) -> frozenset[str]:
        """What programs of somebody else's do not inherit: they may call AWS."""
        return self.withheld - frozenset(SDK_VARIABLES)

    @property
    def group_api(self) -> ElastiCacheApi:
        """The API of the group."""
        assert self.api is not None, "a step that needs it is refused without one"
        return self.api

    async def describe_state(self, needs: Collection[Need] = ()) -> GroupState:
        """Return the group as its API tells it now; without one there is no group.

        Raises:
            ControlError: the API refused, or did not answer.
        """
        if self.api is None:
            return no_group()
        return await self.api.describe_state(needs, missing_ok=True)

    @property
    def control(self) -> Control:
        """Which group it is about."""
        assert self.config.control is not None, "the API is open"
        return self.config.control

    @property
    def poll_s(self) -> float:
        """Pause between looks at the API."""
        return self.control.poll_s
