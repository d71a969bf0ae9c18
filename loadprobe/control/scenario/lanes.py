"""What a scenario does to the load: where lanes connect, and when they may be dark.

The lanes themselves are behind two protocols, so that a scenario can be tested without
any load.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from loadprobe.config.keys import Target
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import (
    ExpectedDark,
    Making,
    Step,
    TlsStep,
    cuts_over,
)
from loadprobe.control.scenario.transfer_keys import CutoverStep
from loadprobe.core.steps import WentOver


class LaneView(Protocol):
    """A lane as a scenario sees it."""

    @property
    def name(self) -> str:
        """Its label."""

    @property
    def tls(self) -> bool:
        """Whether it connects by TLS."""


LaneT = TypeVar("LaneT", bound=LaneView)


class LaneControl(Protocol):
    """What a scenario asks of the lanes."""

    @property
    def lanes(self) -> Sequence[LaneView]:
        """All lanes of the run."""

    async def use_endpoint(
        self, *, tls: bool, host: str, port: int, replace: bool = False
    ) -> None:
        """Send the lanes of one transport to an endpoint; dormant ones wake up.

        Args:
            tls: which lanes.
            host: host of the endpoint.
            port: port of the endpoint.
            replace: it is another cluster: forget what was known of the former one.
        """

    async def wake(self, *, tls: bool, host: str, port: int) -> bool:
        """Begin the dormant lanes of a transport at an endpoint; False if none is."""

    async def use_password(self, password: str) -> None:
        """Log in with another password from the next connection on."""

    async def go_over(
        self, *, tls: bool, target: Target, password: str | None, within_s: float
    ) -> Sequence[WentOver]:
        """Lead the lanes of a transport to another cluster, whatever its shape.

        Args:
            tls: which lanes.
            target: the cluster, and how to log in there.
            password: None does not log in.
            within_s: how long it may take.

        Raises:
            RunError: some could not be connected to it in time.
        """

    async def hold_writes(self, *, within_s: float) -> int:
        """Have nothing written; return since when all writes have ended, monotonic ns.

        Raises:
            RunError: they have not in time; they are let go on.
        """

    def release_writes(self) -> int:
        """Let writes go on, if they are held; return the time, monotonic ns."""

    def expect_dark(self, *, lane: str, shard: str | None, start_ns: int) -> None:
        """Note that a lane is dark by plan from a time on."""

    def expect_lit(self, *, lane: str, shard: str | None, end_ns: int) -> None:
        """Note that this ends."""


class LoadView(Protocol):
    """What a scenario asks of the measurement, four times a second."""

    def longest_outage_ms(self) -> float:
        """Return the longest outage that was not planned, with those going on."""

    def error_ratio(self) -> float:
        """Return failed / all arrivals since the scenario began, without planned."""

    def wrong(self) -> int:
        """Return the number of wrong replies."""


class Darkness:
    """Tells the lanes when they are expected to be dark.

    Args:
        expected: as the scenario says.
        lanes: whom to tell.
    """

    def __init__(self, expected: Sequence[ExpectedDark], lanes: LaneControl) -> None:
        self._expected = expected
        self._lanes = lanes
        self._open: set[int] = set()

    def begin(self, step: str, start_ns: int) -> None:
        """Note that a step has begun."""
        for index, expected in enumerate(self._expected):
            if expected.from_step == step and index not in self._open:
                self._open.add(index)
                for lane in self._named(expected):
                    self._lanes.expect_dark(
                        lane=lane, shard=expected.shard, start_ns=start_ns
                    )

    def end(self, step: str, end_ns: int) -> None:
        """Note that a step has settled, and the lanes know of it."""
        for index, expected in enumerate(self._expected):
            if expected.until_step == step and index in self._open:
                self._open.remove(index)
                for lane in self._named(expected):
                    self._lanes.expect_lit(
                        lane=lane, shard=expected.shard, end_ns=end_ns
                    )

    def break_off(self, step: str, at_ns: int, *, has_settled: bool) -> None:
        """Note that a step has failed: from then on nothing is dark on its account.

        What began with a step that did not settle is by plan no more; what was to last
        until one that did settle is over, although something else of it failed.
        """
        for index, expected in enumerate(self._expected):
            ends_by = expected.until_step if has_settled else expected.from_step
            if ends_by == step and index in self._open:
                self._open.remove(index)
                for lane in self._named(expected):
                    self._lanes.expect_lit(
                        lane=lane, shard=expected.shard, end_ns=at_ns
                    )

    def _named(self, expected: ExpectedDark) -> list[str]:
        return [
            lane.name
            for lane in self._lanes.lanes
            if not {"all", "tls" if lane.tls else "tcp", lane.name}.isdisjoint(
                expected.dark
            )
        ]


class LaneEndpoints:
    """Sends the lanes to the endpoints of a group as they change.

    A group describes one endpoint: plaintext while its TLS mode is "none", else TLS.
    Lanes of the other transport keep the one they had, and get it back when plaintext
    is served again. If there never was one (the group was created with TLS), they go on
    waiting for it.

    Args:
        scenario: a scenario that migrates leaves the lanes at the source until the
            cut-over: its "cutover" step, or "migrate_complete" if it has none.
        target: where the lanes are at first.
        lanes: whom to send.
    """

    def __init__(self, scenario: Scenario, target: Target, lanes: LaneControl) -> None:
        tls_port = target.tls_port if target.tls_port is not None else target.port
        self._lanes = lanes
        self._at = {
            False: Endpoint(target.host, target.port),
            True: Endpoint(target.host, tls_port),
        }
        self._is_elsewhere = scenario.cuts_over
        self._is_cut_over = scenario.has(CutoverStep)

    def of(self, *, tls: bool) -> Endpoint:
        """Return where the lanes of a transport are."""
        return self._at[tls]

    @property
    def is_elsewhere(self) -> bool:
        """Tell whether the lanes are not at the group."""
        return self._is_elsewhere

    def moved(self, *, tls: bool, at: Endpoint, step: CutoverStep) -> None:
        """Note that a cut-over has led the lanes of a transport to an endpoint."""
        self._at[tls] = at
        self._is_elsewhere = step.target_host is not None

    async def follow(self, step: Step, *, before: str, group: Group) -> None:
        """Send the lanes to where a group is after a step.

        Args:
            step: what has settled.
            before: TLS mode before it.
            group: the group after it.
        """
        if cuts_over(step) and not self._is_cut_over:
            self._is_elsewhere = False
        elif self._is_elsewhere:
            return
        if group.endpoint is not None:
            tls = group.tls_mode != "none"
            is_new = isinstance(step, Making | TlsStep) or cuts_over(step)
            if is_new or group.endpoint != self._at[tls]:
                replace = cuts_over(step)
                await self._send(group.endpoint, tls=tls, replace=replace)
        had_plaintext = bool(self._at[False].host)
        if had_plaintext and (before, group.tls_mode) == ("required", "preferred"):
            await self._send(self._at[False], tls=False, replace=False)

    async def _send(self, endpoint: Endpoint, *, tls: bool, replace: bool) -> None:
        self._at[tls] = endpoint
        if any(lane.tls == tls for lane in self._lanes.lanes):
            await self._lanes.use_endpoint(
                tls=tls, host=endpoint.host, port=endpoint.port, replace=replace
            )


def dormant_lanes(
    scenario: Scenario, group: Group | None, lanes: Sequence[LaneView]
) -> frozenset[str]:
    """Return the lanes that cannot connect yet, but will in the course of a scenario.

    Args:
        scenario: what is going to be carried out.
        group: the group before it; None if the scenario creates it.
        lanes: all lanes of the run.
    """
    if begins_with_group(scenario):
        return frozenset(lane.name for lane in lanes)
    if group is None or not scenario.has(TlsStep):
        return frozenset()
    return frozenset(lane.name for lane in unserved(group, lanes))


def unserved(group: Group, lanes: Iterable[LaneT]) -> list[LaneT]:
    """Return the lanes of a transport that a group does not serve now."""
    idle = {"none": True, "required": False}.get(group.tls_mode)
    return [lane for lane in lanes if lane.tls is idle]


def begins_with_group(scenario: Scenario) -> bool:
    """Tell whether lanes have nowhere to go before a scenario has created its group.

    One that is to take over another server's data has the lanes at that server first.
    """
    return scenario.creates is not None and not scenario.cuts_over


def never_served(scenario: Scenario, lanes: Iterable[LaneT]) -> list[LaneT]:
    """Return the lanes that a group which a scenario creates never serves.

    Args:
        scenario: one that ``begins_with_group``.
        lanes: all lanes of the run.
    """
    modes = {s.mode for s in scenario.steps if isinstance(s, Making | TlsStep)}
    # "preferred" has plaintext, too, but a group describes one endpoint only.
    served = {False: "none" in modes, True: bool(modes - {"none"})}
    return [lane for lane in lanes if not served[lane.tls]]
