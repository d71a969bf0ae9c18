"""What ``run.json`` says: what is run, against which target, since when, its end."""

from collections.abc import Sequence

import msgspec

from loadprobe.clock import NS_PER_MS, ClockPair
from loadprobe.core.topology.topology import Topology
from loadprobe.outputs.folder.documents import (
    RUN,
    RunInfo,
    describe_run,
    moment,
    plain_topology,
)
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.run.going_on import Past
from loadprobe.run.plan import RunPlan
from loadprobe.run.showing import Showing


class Describing:
    """Writes down what is run, whenever more is known of it.

    Args:
        plan: what is run.
        folder: where it is written down.
        showing: shows it on the live page.
        clock: to show monotonic times as wall times.
        begun_ns: when the load began; that of a run that goes on began before.
        past: the run that goes on; None begins one.

    Attributes:
        plan: what is run, now.
        begun_ns: when the run began, monotonic.
    """

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        showing: Showing,
        *,
        clock: ClockPair,
        begun_ns: int,
        past: Past | None,
    ) -> None:
        self.plan = plan
        self.begun_ns = begun_ns if past is None else past.begun_ns
        self._folder = folder
        self._showing = showing
        self._clock = clock
        self._past = past
        self._has_taken_over = past is None
        self._topology_start: Topology | None = None

    def describe(self) -> RunInfo:
        """Write down what is run, and against which target."""
        info = describe_run(
            self.plan.config,
            start=moment(self._clock, self.begun_ns),
            scenario=self.plan.scenario_name or None,
        )
        topology_start = plain_topology(self._topology_start)
        if self._past is not None:
            topology_start = self._past.info.topology_start or topology_start
        info = msgspec.structs.replace(
            info, target=self.plan.where, topology_start=topology_start
        )
        self._folder.write_document(RUN, info)
        self._showing.about = info, self._folder.path
        return info

    def take_over(self) -> None:
        """Have documents say that a run goes on, once its new segment says it all."""
        if not self._has_taken_over:
            self._has_taken_over = True
            self.describe()
            self._folder.take_back_verdict()

    def see(self, topology: Topology | None) -> None:
        """Note how the cluster was when it was seen first."""
        if topology is not None and self._topology_start is None:
            self._topology_start = topology
            if self._past is None:
                self.describe()

    def describe_end(
        self,
        end_ns: int,
        *,
        topology: Topology | None,
        clock_offset_ns: int | None,
        problems: Sequence[str],
    ) -> None:
        """Write down what was run, and how it ended.

        Args:
            end_ns: end of the load.
            topology: as last seen.
            clock_offset_ns: the provider's clock minus ours, if it was seen.
            problems: what went wrong in the run itself.
        """
        offset_ns = clock_offset_ns
        info = msgspec.structs.replace(
            self.describe(),
            end=moment(self._clock, end_ns),
            clock_offset_ms=None if offset_ns is None else offset_ns / NS_PER_MS,
            topology_end=plain_topology(topology),
            problems=(*problems, *self._folder.problems),
        )
        self._folder.write_document(RUN, info)
