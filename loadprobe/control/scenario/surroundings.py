"""What a scenario works on, and whom it tells."""

from dataclasses import dataclass
from typing import Protocol

from loadprobe.config.keys import Config, Control
from loadprobe.control.mutations.signs import TopologySource
from loadprobe.control.provider.api import ElastiCacheApi
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
        api: the open API of the group.
        topology: the running topology watch.
        lanes: the lanes of the run.
        load: the measurement.
        emit: where events go.
        ways: how nodes are reached.
    """

    config: Config
    api: ElastiCacheApi
    topology: TopologySource
    lanes: LaneControl
    load: LoadView
    emit: Emit
    ways: Ways

    @property
    def control(self) -> Control:
        """Which group it is about."""
        assert self.config.control is not None, "the API is open"
        return self.config.control

    @property
    def poll_s(self) -> float:
        """Pause between looks at the API."""
        return self.control.poll_s
