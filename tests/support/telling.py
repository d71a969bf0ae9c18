"""Incidents played in virtual time, as a tracker meets them: step by step."""

from collections.abc import Sequence
from dataclasses import replace

from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.incident_tracker import IncidentTracker
from loadprobe.core.verdict.occasions import (
    Occasion,
    OpenIncident,
    TellingRules,
)
from tests.support.outages import MS

STEP_MS = 250
STEP = STEP_MS * MS


class Played:
    """A tracker, and what it told.

    Args:
        rules: of the tracker.
        resumed: what it goes on with.

    Attributes:
        told: all occasions.
        tracker: the tracker.
    """

    def __init__(
        self, rules: TellingRules, resumed: OpenIncident | None = None
    ) -> None:
        self.told: list[Occasion] = []
        self.tracker = IncidentTracker(
            rules, name=lambda start_ns: f"i{start_ns // MS}", resumed=resumed
        )
        self._now = 0

    def step(
        self,
        outages: Sequence[Outage],
        blind: Sequence[BlindSpan] = (),
        planned: Sequence[Planned] = (),
        *,
        until: int,
        since: int | None = None,
    ) -> None:
        """Let time pass up to ``until`` ms, in steps; outages go on and end in it."""
        if since is not None:
            self._now = since
        while self._now <= until:
            now_ns, before_ns = self._now * MS, (self._now - STEP_MS) * MS
            current: dict[Scope, Outage] = {}
            closed: list[Outage] = []
            for row in outages:
                if row.start_ns <= now_ns < row.hull_end_ns:
                    current[row.scope] = replace(
                        row,
                        core_end_ns=max(row.core_start_ns, now_ns),
                        end_ns=max(row.start_ns, now_ns),
                        hull_end_ns=max(row.start_ns, now_ns),
                        open_end=True,
                    )
                elif before_ns < row.hull_end_ns <= now_ns:
                    closed.append(row)
            self.told += self.tracker.take(
                closed=closed,
                current=current,
                blind=_within(blind, before_ns, now_ns),
                planned=planned,
                until_ns=now_ns,
            )
            self._now += STEP_MS

    def end(self, closed: Sequence[Outage], *, until: int) -> None:
        """End the run; all that goes on is closed by it."""
        self.told += self.tracker.take(closed=closed, current={}, until_ns=until * MS)
        self.told += self.tracker.leave()


def _within(blind: Sequence[BlindSpan], start_ns: int, end_ns: int) -> list[BlindSpan]:
    """Return what of blind time becomes certain in a step."""
    cut = [
        BlindSpan(s.lane, max(s.start_ns, start_ns), min(s.end_ns, end_ns))
        for s in blind
    ]
    return [span for span in cut if span.start_ns < span.end_ns]


def play(
    rules: TellingRules,
    outages: Sequence[Outage],
    blind: Sequence[BlindSpan] = (),
    planned: Sequence[Planned] = (),
    *,
    until: int,
    since: int | None = None,
    resumed: OpenIncident | None = None,
) -> Played:
    """Play outages (times in ms), and return what was told."""
    played = Played(rules, resumed)
    played.step(outages, blind, planned, until=until, since=since)
    return played
