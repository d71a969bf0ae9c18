"""What a scenario works on, and whom it tells."""

from dataclasses import dataclass

from loadprobe.config.keys import SDK_VARIABLES, Config, Control
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
        withheld: environment variables that no process of ours inherits: secrets.
    """

    config: Config
    api: ElastiCacheApi
    topology: TopologySource
    lanes: LaneControl
    load: LoadView
    emit: Emit
    withheld: frozenset[str] = frozenset()

    @property
    def withheld_from_others(self) -> frozenset[str]:
        """What programs of somebody else's do not inherit: they may call AWS."""
        return self.withheld - frozenset(SDK_VARIABLES)

    @property
    def control(self) -> Control:
        """Which group it is about."""
        assert self.config.control is not None, "the API is open"
        return self.config.control

    @property
    def poll_s(self) -> float:
        """Pause between looks at the API."""
        return self.control.poll_s
