"""Notices incidents that are over, so that a folder is made of each.

It groups outages as the verdict does it (``core.verdict.incidents``), and judges those
alone that came after the last incident: little is done while nothing happens.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from loadprobe.clock import NEVER_NS, NS_PER_S, ClockPair, mono_now_ns
from loadprobe.core.events import Event, MaintenanceOver
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.outages import OutageKey
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.blame import Blamed, Watched
from loadprobe.core.verdict.incident_so_far import LONGEST_UNLIT_NS
from loadprobe.core.verdict.incidents import Incident
from loadprobe.core.verdict.judged import JudgedRun, judge_run
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.parts import incident_summary, outage_row
from loadprobe.core.verdict.verdict import Verdict
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import Moment
from loadprobe.outputs.folder.incident_folder import (
    AROUND_NS,
    IncidentFolders,
    IncidentRecord,
)

MOST_WAITING = 1000
"""Incidents that have no folder yet; with more the oldest gets none before the end."""

_AGAIN_NS = 10 * NS_PER_S
"""Those that wait for somebody to look are not all judged again with every seal."""

logger = logging.getLogger(__name__)


class IncidentKeeping:
    """Gathers incidents that are over (see the module).

    Args:
        run: name of the run folder.
        aggregate: the judged arrivals.
        clock: to show monotonic times as UNIX times.
        outages: returns the latest outages, open ones included, with their causes.
        quiet_ns: outages closer together than this are one incident.
        boot_id: of the machine, "" if it is not known.
    """

    def __init__(
        self,
        run: str,
        aggregate: Aggregate,
        clock: ClockPair,
        *,
        outages: Callable[[], Sequence[Blamed]],
        quiet_ns: int,
        boot_id: str = "",
    ) -> None:
        self._run = run
        self._boot_id = boot_id
        self._aggregate = aggregate
        self._clock = clock
        self._moment = Moment(clock.wall_ns, clock.mono_ns)
        self._outages = outages
        self._quiet_ns = quiet_ns
        self._look_ns: int | None = None
        self._until_ns = {False: -NEVER_NS, True: -NEVER_NS}
        self._since_ns = -NEVER_NS
        self._before_ns = -NEVER_NS
        self._waiting: deque[IncidentRecord] = deque(maxlen=MOST_WAITING)

    def go_on(self) -> None:
        """Look for incidents of a process that was gone before they had a folder.

        One that was dark then is over when it has been seen lit, not before.
        """
        until_ns = self._before_ns = self._aggregate.sealed_until_ns
        if self._aggregate.outages:
            self._look_ns = until_ns + self._quiet_ns + AROUND_NS

    def take_event(self, event: Event) -> None:
        """Take maintenances that are over: each is an incident, dark or not."""
        if isinstance(event, MaintenanceOver):
            about = {
                name: getattr(event, name)
                for name in ("number", "reason", "signs", "outages", "verdict")
            }
            self.add(
                IncidentRecord(
                    run=self._run,
                    kind="maintenance",
                    start_unix_ns=event.start_unix_ns,
                    end_unix_ns=event.end_unix_ns,
                    clock=self._moment,
                    boot_id=self._boot_id,
                    about=about,
                )
            )

    def take_sealed(self, sealed: Sealed) -> None:
        """Take outages that ended, and notice incidents that are over."""
        if sealed.closed and self._look_ns is None:
            self._look_ns = sealed.until_ns + self._quiet_ns + AROUND_NS
        if self._look_ns is not None and sealed.until_ns >= self._look_ns:
            self._look_ns = self._look(sealed.until_ns)

    def add(self, record: IncidentRecord) -> None:
        """Have a folder made of something else that was an incident, and is over."""
        self._waiting.append(record)

    @property
    def waiting(self) -> int:
        """Return how many incidents have no folder yet."""
        return len(self._waiting)

    def take(self, most: int) -> list[IncidentRecord]:
        """Return the incidents of which folders are to be made next."""
        count = min(most, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]

    def put_back(self, records: Iterable[IncidentRecord]) -> None:
        """Return incidents of which no folder could be made."""
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extendleft(list(records)[:room][::-1])

    def conclude(self, verdict: Verdict) -> list[IncidentRecord]:
        """Return all incidents of a run that was judged, as its documents have them."""
        rows: dict[int, list[OutageRow]] = {}
        for row in verdict.outages.outages:
            rows.setdefault(row.incident, []).append(row)
        return [
            *self._waiting,
            *(
                IncidentRecord(
                    run=self._run,
                    clock=self._moment,
                    boot_id=self._boot_id,
                    start_unix_ns=incident.start_unix_ns,
                    end_unix_ns=incident.end_unix_ns,
                    incident=incident,
                    outages=rows.get(incident.number, []),
                )
                for incident in verdict.summary.incidents
                if not incident.is_probe_only
            ),
        ]

    def _look(self, until_ns: int) -> int | None:
        """Take incidents that are over, with what was around them.

        Returns:
            When the next one may be over (monotonic ns), None if none is left.
        """
        found = [
            part
            for part in self._outages()
            if part.outage.hull_end_ns > self._since_ns
            and not part.outage.scope.op.is_apart
        ]
        if not found:
            return None
        watched = Watched.so_far(self._aggregate, until_ns).of_load()
        run = judge_run(watched, found, clock=self._clock, quiet_ns=self._quiet_ns)
        left: list[Incident] = []
        unlit = self._unlit(until_ns)
        for incident in run.incidents:
            if incident.is_probe_only:
                continue
            is_recent = incident.end_ns + self._quiet_ns + AROUND_NS > until_ns
            if is_recent or any(o.key in unlit for o in incident.outages):
                left.append(incident)
            elif incident.start_ns > self._until_ns[incident.is_planned]:
                self._until_ns[incident.is_planned] = incident.end_ns
                self._waiting.append(self._record(run, incident))
        ends = (part.outage.hull_end_ns for part in found)
        self._since_ns = min((i.start_ns for i in left), default=max(ends))
        next_ns = min((incident.end_ns for incident in left), default=None)
        if next_ns is None:
            return None
        return max(next_ns + self._quiet_ns + AROUND_NS, until_ns + _AGAIN_NS)

    def _unlit(self, until_ns: int) -> set[OutageKey]:
        """Return outages of before this process that nobody has looked at since."""
        if until_ns - self._clock.mono_ns >= LONGEST_UNLIT_NS:
            return set()
        return {
            outage.key
            for outage in self._aggregate.current().values()
            if outage.last_due_ns < self._before_ns
        }

    def _record(self, run: JudgedRun, incident: Incident) -> IncidentRecord:
        keys = {outage.key for outage in incident.outages}
        return IncidentRecord(
            run=self._run,
            clock=self._moment,
            boot_id=self._boot_id,
            start_unix_ns=self._clock.to_wall(incident.start_ns),
            end_unix_ns=self._clock.to_wall(incident.end_ns),
            incident=incident_summary(run, incident, {}),
            outages=[
                outage_row(part, clock=self._clock, incident=incident.number)
                for part in run.blamed
                if part.outage.key in keys
            ],
        )


def write_folders(
    folder: Path, records: Iterable[IncidentRecord], *, within_s: float
) -> str:
    """Make the folders of incidents that have none, and say anew what all of them were.

    At the end of a run, when nothing is measured any more. What cannot be written is
    in the segments.

    Args:
        folder: of the run.
        records: what there is to say.
        within_s: no folder is begun after so long.

    Returns:
        For which of them there was no time, as a sentence; "" if there was for all.
    """
    give_up_ns = mono_now_ns() + round(within_s * NS_PER_S)
    try:
        folders = IncidentFolders(folder)
        left = sorted(records, key=folders.is_known)
        while left and mono_now_ns() < give_up_ns:
            folders.write(left.pop(0))
    except (OSError, UsageError) as exc:
        logger.warning("incident_not_written", extra={"lp_reason": str(exc)})
        return ""
    if not left:
        return ""
    return (
        f"For the folders of {len(left)} incidents there was no time; they are in the "
        "verdict, and in the segments."
    )
