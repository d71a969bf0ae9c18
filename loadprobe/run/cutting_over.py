"""Where lanes go when it is elsewhere than before, and writes that are held meanwhile.

Rule: a lane goes on where it is until it is connected to where it is to be.
"""

import asyncio
from collections.abc import Callable

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.steps import WentOver
from loadprobe.errors import RunError
from loadprobe.probe.fleet import FleetProbe
from loadprobe.probe.moves import FoundThere, GoneOver, HoldWrites, WritesHeld
from loadprobe.probe.routes import Routes
from loadprobe.run.roster import Roster

_POLL_S = 0.02
_LOOK_UP_S = 10.0


class CuttingOver:
    """Leads lanes to other endpoints and clusters, and holds their writes.

    Args:
        roster: which process has which lanes.
        routes: where lanes go.
        probe: returns a process by its index.
        has_ended: tells whether the load has ended.

    Attributes:
        holds_writes: nothing is written for now.
    """

    def __init__(
        self,
        roster: Roster,
        routes: Routes,
        *,
        probe: Callable[[int], FleetProbe],
        has_ended: Callable[[], bool],
    ) -> None:
        self.holds_writes = False
        self._roster = roster
        self._routes = routes
        self._probe = probe
        self._has_ended = has_ended
        self._held_ns: dict[int, int] = {}
        self._gone: dict[tuple[int, str], GoneOver] = {}
        self._found: dict[tuple[int, str], FoundThere] = {}

    def take(self, message: WritesHeld | GoneOver | FoundThere) -> None:
        """Take what a process says."""
        match message:
            case WritesHeld():
                self._held_ns[message.process] = message.at_ns
            case GoneOver():
                self._gone[message.process, message.lane] = message
            case FoundThere():
                self._found[message.process, message.lane] = message

    # --- writes ----------------------------------------------------------------------

    async def hold_writes(self, *, within_s: float) -> int:
        """Have nothing written any more; return since when all writes have ended.

        Args:
            within_s: how long to wait for that.

        Raises:
            RunError: they have not ended by then; they are let go on.
        """
        self.holds_writes = True
        self._held_ns.clear()
        for process in range(len(self._roster.shares)):
            self._probe(process).tell(HoldWrites(is_held=True))
        give_up_ns = mono_now_ns() + int(within_s * NS_PER_S)
        while late := set(self._roster.awake) - set(self._held_ns):
            if self._has_ended() or mono_now_ns() >= give_up_ns:
                self.release_writes()
                lanes = ", ".join(sorted(self._roster.lanes_of(late)))
                raise RunError(
                    f"the writes of lanes {lanes} have not ended after {within_s:g} s; "
                    "raise deadline_s of the step, or look at what they wait for"
                )
            await asyncio.sleep(_POLL_S)
        return max(self._held_ns.values(), default=mono_now_ns())

    def release_writes(self) -> int:
        """Let writes go on, if they are held; return the time, monotonic ns."""
        if self.holds_writes:
            self.holds_writes = False
            for process in range(len(self._roster.shares)):
                self._probe(process).tell(HoldWrites(is_held=False))
        return mono_now_ns()

    # --- another place ---------------------------------------------------------------

    async def use_endpoint(
        self, *, tls: bool, host: str, port: int, replace: bool, within_s: float
    ) -> None:
        """Lead the lanes of a transport to another endpoint (see ``Measurement``)."""
        order = self._routes.move(tls=tls, host=host, port=port, replace=replace)
        for process in self._roster.of(self._routes.of(tls=tls)):
            self._probe(process).tell(order)  # also those that are being woken
        await self._until_followed(tls=tls, where=f"{host}:{port}", within_s=within_s)

    async def go_over(
        self, *, tls: bool, target: Target, password: str | None, within_s: float
    ) -> list[WentOver]:
        """Lead the lanes of a transport to another cluster (see ``GoOver``).

        Returns once all that probe have gone over, and have looked their keys up there.

        Raises:
            RunError: some could not be connected to it in time; they go on trying.
        """
        order = self._routes.go_over(tls=tls, target=target, password=password)
        for process in self._roster.of(self._routes.of(tls=tls)):
            self._probe(process).tell(order)
        where = f"{target.host}:{target.port_of(tls=tls)}"
        await self._until_followed(tls=tls, where=where, within_s=within_s)
        probing = self._probing(tls=tls)
        until_ns = mono_now_ns() + int(_LOOK_UP_S * NS_PER_S)
        while mono_now_ns() < until_ns and not self._has_ended():
            if all(self._has_found(p, lane, order.cut_over) for p, lane in probing):
                break
            await asyncio.sleep(_POLL_S)
        lanes = dict.fromkeys(lane for _, lane in probing)
        return [self._went_over(lane, order.cut_over) for lane in lanes]

    def _has_found(self, process: int, lane: str, cut_over: int) -> bool:
        found = self._found.get((process, lane))
        return found is not None and found.cut_over == cut_over

    def _went_over(self, lane: str, cut_over: int) -> WentOver:
        gone = [
            each
            for (_, name), each in self._gone.items()
            if name == lane and each.cut_over == cut_over
        ]
        found = [
            each
            for (_, name), each in self._found.items()
            if name == lane and each.cut_over == cut_over
        ]
        is_all = len(found) == len(gone)
        return WentOver(
            lane,
            max((each.at_ns for each in gone), default=mono_now_ns()),
            sum(each.checked for each in found),
            sum(each.lost for each in found),
            sum(each.overwritten for each in found),
            sum(each.unread for each in found) if is_all else None,
        )

    def _probing(self, *, tls: bool) -> list[tuple[int, str]]:
        """Return (process, lane) of all lanes of a transport that probe."""
        lanes = set(self._routes.of(tls=tls))
        return [
            (process, lane)
            for process in self._roster.awake
            for lane in self._roster.lanes(process)
            if lane in lanes
        ]

    async def _until_followed(self, *, tls: bool, where: str, within_s: float) -> None:
        probing = self._probing(tls=tls)
        give_up_ns = mono_now_ns() + int(within_s * NS_PER_S)
        while late := {
            lane for p, lane in probing if not self._routes.has_followed(p, lane)
        }:
            if self._has_ended() or mono_now_ns() >= give_up_ns:
                raise RunError(
                    f"lanes {', '.join(sorted(late))} are not connected to the cluster "
                    f"at {where} after {within_s:g} s; check that it can be "
                    "reached from here"
                )
            await asyncio.sleep(_POLL_S)
