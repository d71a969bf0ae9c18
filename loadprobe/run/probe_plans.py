"""What each probe process is to do, as it stands when the process begins.

One that begins later, or again, finds what was changed since: other endpoints, another
login, keys that others wrote.
"""

from collections.abc import Collection

from loadprobe.clock import wall_now_ns
from loadprobe.config.keys import Config
from loadprobe.outputs.folder.ledger_file import Ledger
from loadprobe.probe.orders import Detour, Plan
from loadprobe.probe.routes import Routes
from loadprobe.run.cutting_over import CuttingOver
from loadprobe.run.hearing import Hearing
from loadprobe.run.roster import Roster


class ProbePlans:
    """Plans of the processes of a load.

    Args:
        config: what to measure and how.
        roster: which process has which lanes.
        routes: where the lanes go.
        hearing: has heard of processes, and knows the names of shards.
        cutting_over: knows whether writes are held.

    Attributes:
        config: as it is now.
        roster: as above.
        routes: as above.
        password: to log in with; None does not log in.
        remembered: what an earlier run wrote, by lane.
        is_beside_others: another load goes on while these begin.
    """

    def __init__(
        self,
        config: Config,
        roster: Roster,
        routes: Routes,
        hearing: Hearing,
        cutting_over: CuttingOver,
    ) -> None:
        self.config = config
        self.roster = roster
        self.routes = routes
        self._hearing = hearing
        self._cutting_over = cutting_over
        self.password = config.target.read_password()
        self.remembered: Ledger = {}
        self.is_beside_others = False

    def plan(self, process: int, *, is_first: bool, is_ahead: bool = False) -> Plan:
        """Return what a process is to do.

        Args:
            process: its number.
            is_first: there was none of that number before.
            is_ahead: the transport of its lanes is not served yet.
        """
        lanes = self.roster.lanes(process)
        for lane in lanes:
            self._hearing.names.forget((process, lane))
        has_company = self.is_beside_others or bool(self._hearing.heard_ns)
        return Plan(
            process=process,
            targets={lane: self.routes.target(lane) for lane in lanes},
            password=self.password,
            probe=self.config.probe,
            shares=self.roster.shares[process],
            # Microseconds grow faster than any process writes, so versions grow
            # over restarts and runs.
            version_base=wall_now_ns() // 1000,
            prefill=is_first,
            remembered={
                lane: rows
                for lane in lanes
                if is_first and (rows := self.remembered.get(lane))
            },
            known={} if is_first else self.routes.known(lanes),
            cut_overs={lane: self.routes[lane].cut_over for lane in lanes},
            gently=is_first and has_company,
            ahead=self.detours(lanes) if is_first and is_ahead else None,
            holds_writes=self._cutting_over.holds_writes,
        )

    def detours(self, lanes: Collection[str]) -> dict[str, Detour]:
        """Return by what the keys of lanes can be reached over the other transport."""
        asleep = self.roster.dormant
        found = {lane: self.routes.detour(lane, asleep=asleep) for lane in lanes}
        return {lane: detour for lane, detour in found.items() if detour is not None}
