"""A run that goes over into a new segment, with another configuration.

All of it is checked, and new probe processes are connected, prefilled and waiting,
before the load of the old ones ends. What cannot be prepared changes nothing. Then what
was judged is written, and a run is begun in the same process as one that was started
again goes on: from its folder.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.config.changes import ChangedKeys
from loadprobe.config.keys import Config, Http
from loadprobe.control.provider.iam_token import TokenMaker
from loadprobe.control.provider.shared import SharedApi
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.topology.topology import join_address
from loadprobe.errors import LoadprobeError, UsageError
from loadprobe.run.load import Measurement
from loadprobe.run.plan import Reread, RunOptions, RunPlan
from loadprobe.run.preparing import check_next, plan_run

READY_S = 60.0
"""New probes are waited for so long. In an outage they may not get through, and then
what goes on is measured on."""

READ_BACK_S = 1.0
"""Written keys are read back for so long at the end of a segment: nobody looks then.
What is not read by then is looked for when the run goes on in another process."""


@dataclass(frozen=True, slots=True)
class Present:
    """What a run that may go over is like.

    Args:
        plan: what it runs.
        lanes: those that it has or had.
        nodes: names of shards, by node.
    """

    plan: RunPlan
    lanes: tuple[LaneInfo, ...]
    nodes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Successor:
    """What comes after a run.

    Args:
        plan: what to run.
        as_read: its configuration as it was read.
        measurement: its probes, which are ready.
    """

    plan: RunPlan
    as_read: Config
    measurement: Measurement


class Succession:
    """How the segments of a run follow each other in one process (see the module).

    Args:
        as_read: the configuration as it was read.
        options: what the command line adds.
        shared: the API of the group.
        reread: reads the configuration again; None: there is nothing to read.

    Attributes:
        next: what comes after the run that is.
        measurement: probes that are ready for the run that begins; None: it has to
            start its own.
        until_ns: the end of the load, monotonic; None: it has none.
        address: where HTTP is served; None before it is.
        path: the run folder that was left; None: none was.
        is_left: the run that is has ended, and what follows has not begun.
    """

    def __init__(
        self,
        as_read: Config,
        options: RunOptions,
        shared: SharedApi,
        *,
        reread: Reread | None = None,
    ) -> None:
        self.as_read = as_read
        self.reread = reread
        self._options = options
        self._shared = shared
        self.next: Successor | None = None
        self.measurement: Measurement | None = None
        self.until_ns: int | None = None
        self.address: tuple[str, int] | None = None
        self.path: Path | None = None
        self.is_left = False
        self._is_over = False
        self._sending: list[asyncio.Task[None]] = []

    def begin(self, begun_ns: int, duration_s: float | None) -> None:
        """Take note that the load has begun; what is left of a length goes on."""
        if duration_s and self.path is None:
            self.until_ns = begun_ns + int(duration_s * NS_PER_S)

    def http(self, http: Http) -> Http:
        """Return where to serve: a free port that was taken is kept."""
        if self.address is None:
            return http
        return msgspec.structs.replace(http, listen=join_address(*self.address))

    async def prepare(
        self, config: Config, what: ChangedKeys, present: Present
    ) -> None:
        """Have everything ready for another configuration.

        Args:
            config: as it was read; its keys are right.
            what: differs in it.
            present: the run that is.

        Raises:
            LoadprobeError: it cannot be; nothing has changed.
        """
        _check_possible(config, what, present)
        plan, _ = await plan_run(config, self._options, self._shared)
        is_serving = self.address is not None and _is_served_as(self.as_read, config)
        await check_next(plan, self._shared, is_serving=is_serving)
        measurement = Measurement(plan.config, withheld=plan.withheld)
        target = plan.config.target
        if target.iam_user is not None:
            token = await asyncio.to_thread(TokenMaker(target).make)
            measurement.tuning.use_login(target.iam_user, token)
        try:
            await measurement.make_ready(present.nodes, within_s=READY_S)
        except LoadprobeError as exc:
            keys = ", ".join(what.anew)
            raise UsageError(f"{keys}: nothing was changed, for {exc}") from exc
        if self._is_over:
            assert measurement.standby is not None, "it was made ready"
            await measurement.standby.end()
            raise UsageError("nothing was changed, for the run has ended meanwhile")
        self.next = Successor(plan, config, measurement)

    async def give_up(self) -> None:
        """Let go of what was prepared, also later: the run ends."""
        self._is_over = True
        left, self.next = self.next, None
        if left is not None and left.measurement.standby is not None:
            await left.measurement.standby.end()

    def leave(self, path: Path, sending: Coroutine[None, None, None]) -> None:
        """Take note that the run was left.

        Args:
            path: its folder.
            sending: sends the last of its samples; nothing waits for that now.
        """
        self.path, self.is_left = path, True
        self._sending.append(asyncio.create_task(sending))

    async def take(self) -> Successor | None:
        """Return what comes after a run that was left; None if nothing does."""
        found = self.next if self.is_left else None
        self.next, self.is_left = None, False
        if found is None:
            return None
        if not _is_served_as(self.as_read, found.as_read):
            self.address = None
        self.as_read = found.as_read
        self.measurement, standby = found.measurement, found.measurement.standby
        if standby is not None and not standby.is_there:
            await standby.end()
            self.measurement = None
        return found

    async def end(self) -> None:
        """Wait until the last samples of all segments are sent, or given up."""
        await asyncio.gather(*self._sending)


def _is_served_as(old: Config, new: Config) -> bool:
    return old.http.listen == new.http.listen


def _check_possible(config: Config, what: ChangedKeys, present: Present) -> None:
    """Refuse what a run cannot go over to while it lasts.

    Raises:
        UsageError: and why.
    """
    keys = ", ".join(what.anew)
    nothing = "nothing was changed"
    plan = present.plan
    if plan.scenario is not None:
        raise UsageError(
            f"{keys}: cannot change in a run with a scenario ({plan.scenario.name}); "
            f"{nothing}, start the run again for that"
        )
    if plan.tunnel is not None or config.target.tunnel is not None:
        raise UsageError(
            f"{keys}: cannot change while nodes are reached by a tunnel, which new "
            f"probes do not have yet; {nothing}, start the run again for that"
        )
    known = {lane.name: lane for lane in present.lanes}
    for lane in config.lanes:
        before = known.get(lane.name)
        now = lane.tls, lane.is_witness, lane.read_from
        if before is not None and now != (
            before.tls,
            before.is_witness,
            before.read_from,
        ):
            raise UsageError(
                f"lanes.{lane.name}: this run had another lane of that name; "
                f"{nothing}, give it another one"
            )
