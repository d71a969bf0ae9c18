"""What a scenario works on, and whom it tells."""

from dataclasses import dataclass

from loadprobe.config.keys import Config, Control
from loadprobe.control.mutations.signs import TopologySource
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.scenario.lanes import LaneControl, LoadView
from loadprobe.core.events import Emit


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
    """

    config: Config
    api: ElastiCacheApi
    topology: TopologySource
    lanes: LaneControl
    load: LoadView
    emit: Emit

    @property
    def control(self) -> Control:
        """Which group it is about."""
        assert self.config.control is not None, "the API is open"
        return self.config.control

    @property
    def poll_s(self) -> float:
        """Pause between looks at the API."""
        return self.control.poll_s
