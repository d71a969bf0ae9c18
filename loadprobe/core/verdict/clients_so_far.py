"""Client lanes beside each other while a run lasts: in incidents that are over. Pure.

Who was served again first is known when all are. It is found out once for an incident,
not whenever somebody looks: seconds of hours are added up for it.
"""

from collections.abc import Collection, Sequence

from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.columns import Scope
from loadprobe.core.verdict.client_document import ClientComparison
from loadprobe.core.verdict.client_ranking import compare_clients, find_happenings
from loadprobe.core.verdict.incidents import Incident
from loadprobe.core.verdict.judged import JudgedRun

MOST_COMPARED = 5


class ClientsSoFar:
    """Keeps the latest comparisons."""

    def __init__(self) -> None:
        self._about: list[tuple[int, int, int]] = []
        self._known: Sequence[ClientComparison] = ()

    def look(
        self, run: JudgedRun, going_on: Collection[Scope], activity: Activity
    ) -> Sequence[ClientComparison]:
        """Return the lanes beside each other in each of the latest incidents.

        Args:
            run: the load, judged until now.
            going_on: scopes with an outage that goes on.
            activity: what lanes did, second by second.
        """
        over = [each for each in run.incidents if _is_over(each, going_on)]
        over = over[-MOST_COMPARED:]
        about = [(each.start_ns, each.end_ns, len(each.outages)) for each in over]
        if about != self._about:
            self._about = about
            self._known = compare_clients(
                find_happenings((), over), run.watched.facts(), activity, run.clock
            )
        return self._known


def _is_over(incident: Incident, going_on: Collection[Scope]) -> bool:
    if incident.is_planned or incident.is_probe_only:
        return False
    return not any(outage.scope in going_on for outage in incident.outages)
