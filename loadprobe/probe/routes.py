"""Where the lanes go: endpoints, cut-overs, and the topologies found there."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from loadprobe.config.keys import Lane, Target
from loadprobe.core.topology.topology import Topology
from loadprobe.probe.messages import TopologySeen
from loadprobe.probe.moves import GoOver
from loadprobe.probe.orders import (
    Detour,
    UseEndpoint,
)


@dataclass(slots=True)
class LaneRoute:
    """Where one lane goes.

    Args:
        tls: its transport.
        target: its endpoint, and how to log in.
        cut_over: number of its last cut-over to another cluster, 0 if there was none.
        known: the topology last told, for a restart in mid-run.
        followed: the cut-over that each of its processes has followed.
    """

    tls: bool
    target: Target
    cut_over: int = 0
    known: Topology | None = None
    followed: dict[int, int] = field(default_factory=dict)


class Routes:
    """The routes of all lanes.

    Args:
        lanes: the lanes.
        target: where all of them go at first.
    """

    def __init__(self, lanes: Iterable[Lane], target: Target) -> None:
        self._routes = {lane.name: LaneRoute(lane.tls, target) for lane in lanes}
        self._cut_overs = 0

    def __getitem__(self, lane: str) -> LaneRoute:
        """Return the route of a lane."""
        return self._routes[lane]

    def target(self, lane: str) -> Target:
        """Return where a lane goes, and how it logs in now."""
        return self._routes[lane].target

    def lead(self, lane: str, target: Target) -> None:
        """Let a lane go elsewhere; it logs in and encrypts as all do by now.

        Args:
            lane: its name.
            target: where it goes.
        """
        route = self._routes[lane]
        now = route.target
        target = target.with_certificates_of(now)
        route.target = msgspec.structs.replace(target, username=now.username)

    def log_in(self, username: str | None) -> None:
        """Let all lanes log in as somebody from now on."""
        for route in self._routes.values():
            route.target = msgspec.structs.replace(route.target, username=username)

    def use_certificates(self, target: Target) -> None:
        """Let all lanes use the certificate files of a target from now on."""
        for route in self._routes.values():
            route.target = route.target.with_certificates_of(target)

    def of(self, *, tls: bool) -> list[str]:
        """Return the names of the lanes of a transport."""
        return [name for name, route in self._routes.items() if route.tls == tls]

    def detour(self, lane: str, *, asleep: Collection[str]) -> Detour | None:
        """Return where a lane's keys can be read by the other transport, if anywhere.

        Args:
            lane: its transport is not served any more.
            asleep: lanes that have never been connected.
        """
        tls = not self._routes[lane].tls
        for other in self.of(tls=tls):
            if other not in asleep:
                return Detour(tls, self.target(other))
        return None

    def move(self, *, tls: bool, host: str, port: int, replace: bool) -> UseEndpoint:
        """Let the lanes of a transport go to another endpoint; return the order.

        Args:
            tls: the transport.
            host: the endpoint.
            port: its port.
            replace: it is another cluster: what was known is of no use there.
        """
        self._cut_overs += replace
        for lane in self.of(tls=tls):
            route = self._routes[lane]
            route.target = route.target.at(tls=tls, host=host, port=port)
            if replace:
                route.cut_over = self._cut_overs
                route.known = None
        return UseEndpoint(tls, host, port, self._cut_overs if replace else None)

    def go_over(self, *, tls: bool, target: Target, password: str | None) -> GoOver:
        """Let the lanes of a transport go over to another cluster; return the order.

        Args:
            tls: the transport.
            target: the cluster, and how to log in there.
            password: None does not log in.
        """
        self._cut_overs += 1
        for lane in self.of(tls=tls):
            route = self._routes[lane]
            route.target, route.known = target, None
            route.cut_over = self._cut_overs
        return GoOver(tls, target, password, self._cut_overs)

    def note(self, seen: TopologySeen, topology: Topology) -> None:
        """Take a topology that a process told of a lane, with canonical names."""
        route = self._routes[seen.lane]
        route.followed[seen.process] = seen.cut_over
        # A process that is slow to go over must not lead others back.
        if seen.cut_over >= route.cut_over:
            route.known = topology

    def known(self, lanes: Collection[str]) -> dict[str, Topology]:
        """Return the topologies known of some lanes."""
        found = {lane: self._routes[lane].known for lane in lanes}
        return {lane: known for lane, known in found.items() if known is not None}

    def has_followed(self, process: int, lane: str) -> bool:
        """Tell whether a process has followed the lane's last cut-over."""
        route = self._routes[lane]
        return route.followed.get(process, 0) >= route.cut_over
