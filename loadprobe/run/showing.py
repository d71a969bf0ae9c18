"""Shows a run to pages that watch it: what is sent, and when.

Everything is made from memory. Once a second, if anybody watches, one message is made
and encoded for all of them; what takes long is done by a thread, on values that do not
change. Without a page only the last minutes are kept.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_S, ClockPair, mono_now_ns
from loadprobe.core.events import Event
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.server_side import ServerRow
from loadprobe.core.verdict.clients_so_far import ClientsSoFar
from loadprobe.core.verdict.parts import outage_row
from loadprobe.core.verdict.so_far import still, summarize_so_far
from loadprobe.core.verdict.steps_so_far import StepsSoFar, summarize_steps
from loadprobe.core.verdict.thresholds import SloLimits
from loadprobe.outputs.folder.documents import PAGE, RunInfo
from loadprobe.outputs.http.live_page import Watcher, message
from loadprobe.outputs.http.run_view import RunView
from loadprobe.outputs.page.live_document import (
    Now,
    changed,
    first_document,
    grown_document,
    zero_at,
)
from loadprobe.outputs.page.recent import KEPT_S, Recent, RecentPart
from loadprobe.run.health import Health

MOST_OUTAGES = 100
MOST_INCIDENTS = 50

_PAUSES = 10
_LONGEST_PAUSE_S = 2.0
"""After what took long, so many times as long nothing is made, up to a limit."""


class Showing:
    """Shows a run to pages (see the module).

    Args:
        view: how the run stands.
        clock: to show monotonic times as wall times.
        health: how the probes are doing.
        late_ns: what was sent later than this was late.
        kept_s: what a page is told first reaches back so far.

    Attributes:
        page: the page; it is set before it is served.
        about: what is run, and its folder; None before the load begins.
        limits: thresholds that a run has now.
    """

    def __init__(
        self,
        view: RunView,
        clock: ClockPair,
        *,
        health: Health,
        late_ns: int,
        kept_s: int = KEPT_S,
    ) -> None:
        self.page = b""
        self.about: tuple[RunInfo, Path] | None = None
        self.limits = SloLimits()
        self._view = view
        self._clock = clock
        self._health = health
        self._late_ns = late_ns
        self._kept_s = kept_s
        self._recent = Recent(clock, kept_s=kept_s)
        self._steps = StepsSoFar()
        self._clients = ClientsSoFar()
        self._zero_s: int | None = None
        self._sent_s = 0
        self._joining: list[Watcher] = []
        self._watching: list[Watcher] = []
        self._told: Now | None = None
        self._is_broken_off = False
        self._is_due = asyncio.Event()

    # --- what the run tells ----------------------------------------------------------

    def take_event(self, event: Event) -> None:
        """Take a line of the journal."""
        self._recent.take_event(event)
        self._steps.take_event(event)

    def take_servers(self, rows: Sequence[ServerRow]) -> None:
        """Take what servers told."""
        self._recent.take_servers(rows)

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what became certain."""
        self._recent.take_sealed(sealed)
        if self.watchers and self._recent.until_s > self._sent_s:
            self._is_due.set()

    def end(self, folder: Path) -> None:
        """Tell the pages that the run is over, and where its own page is."""
        self._tell_last()
        page = folder.absolute() / PAGE
        last = message("ended", {"page": str(page) if page.exists() else None})
        for watcher in [*self._watching, *self._joining]:
            watcher.tell(last)
            watcher.end()

    def leave_all(self) -> None:
        """Let go of the pages; they come back and are told all there is."""
        self._tell_last()
        for watcher in [*self._watching, *self._joining]:
            watcher.end()

    # --- who watches -----------------------------------------------------------------

    @property
    def watchers(self) -> int:
        """Return how many pages watch."""
        return len(self._watching) + len(self._joining)

    def join(self, watcher: Watcher) -> None:
        """Tell a page from the next second on."""
        self._joining.append(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Tell a page nothing more."""
        for watchers in (self._watching, self._joining):
            if watcher in watchers:
                watchers.remove(watcher)
        if not self.watchers:
            self._recent.leave()

    # --- what they are told ----------------------------------------------------------

    async def run(self) -> None:
        """Tell the pages what is new, for ever."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            begun_ns = mono_now_ns()
            await self._tell()
            took_s = (mono_now_ns() - begun_ns) / NS_PER_S
            await asyncio.sleep(min(_PAUSES * took_s, _LONGEST_PAUSE_S))

    async def _tell(self) -> None:
        if self.about is None or not self.watchers:
            return
        joining = list(self._joining)
        watching = list(self._watching)
        if not watching and not self._recent.has_begun:
            return
        news = self._recent.news() if watching else None
        whole = self._recent.whole() if joining or self._is_long else None
        if whole is not None and self._begins_anew(whole):
            joining, watching = [*watching, *joining], []
        now = self._now()
        self._sent_s = self._recent.until_s
        zero_s = self._zero_s
        assert zero_s is not None, "somebody was told all there is"
        self._is_broken_off = True  # until it is told, what was new is nowhere
        grown, first = await asyncio.to_thread(
            self._encode, now, zero_s, news if watching else None, whole
        )
        self._is_broken_off = False
        self._send(grown, watching)
        self._send(first, joining)

    def _tell_last(self) -> None:
        """Tell what has come since the pages were told the last time; it is the end."""
        self._recent.end()
        zero_s, joining = self._zero_s, list(self._joining)
        if zero_s is None or self.about is None or not self.watchers:
            return
        if self._is_broken_off:
            joining += self._watching
        watching = [each for each in self._watching if each not in joining]
        news = self._recent.news() if watching else None
        whole = self._recent.whole() if joining else None
        grown, first = self._encode(self._now(), zero_s, news, whole)
        self._send(grown, watching)
        self._send(first, joining)

    @property
    def _is_long(self) -> bool:
        """Tell whether pages have become so long that they should begin anew."""
        zero_s = self._zero_s
        return zero_s is not None and self._recent.until_s - zero_s > 2 * self._kept_s

    def _begins_anew(self, whole: RecentPart) -> bool:
        """Choose from when on pages count; tell whether that is another moment.

        A page may begin with some time of which it is told nothing.
        """
        zero_s = self._zero_s
        if zero_s is not None and whole.since_s - zero_s <= self._kept_s // 3:
            return False
        self._zero_s = whole.since_s
        return True

    def _send(self, told: bytes | None, watchers: Sequence[Watcher]) -> None:
        if told is None:
            return
        for watcher in watchers:
            if watcher in self._joining:
                self._joining.remove(watcher)
                self._watching.append(watcher)
            if watcher in self._watching and not watcher.tell(told):
                self._watching.remove(watcher)

    def _now(self) -> Callable[[], Now]:
        """Return what makes out how the run stands, from what it is at this moment."""
        view = self._view
        counted, going_on = view.judged()
        run, verdict = still(counted, going_on), view.verdict()
        clients = self._clients.look(run, going_on, self._health.activity)
        scopes = view.scopes
        health = self._health.observer(
            run.watched.lane_totals.values(), late_ns=self._late_ns
        )
        stale_reads = view.stale_reads()
        state, problems = view.state, list(view.live.problems)
        limits, so_far = self.limits, self._steps.scenario
        controller = self._health.course.controller
        told_by_provider = tuple(self._health.provider_events)
        lanes = [msgspec.to_builtins(lane) for lane in view.lanes_now()]

        def made() -> Now:
            summary = summarize_so_far(
                run,
                health,
                limits=limits,
                words=(verdict.state, verdict.headline),
                stale_reads=stale_reads,
                most_incidents=MOST_INCIDENTS,
            )
            scenario = (
                None
                if so_far is None
                else summarize_steps(
                    so_far,
                    run,
                    controller=controller,
                    events=told_by_provider,
                    clock=self._clock,
                )
            )
            latest = run.blamed[-MOST_OUTAGES:]
            return Now(
                state=state,
                summary=msgspec.structs.replace(summary, clients=list(clients)),
                outages=[
                    outage_row(part, clock=self._clock, incident=0) for part in latest
                ],
                outages_left_out=len(run.blamed) - len(latest),
                scopes=scopes,
                lanes=lanes,
                problems=problems,
                scenario=scenario,
                going_on=so_far.going_on if so_far else (),
                is_scenario_over=so_far is not None and so_far.is_over,
            )

        return made

    def _encode(
        self,
        now: Callable[[], Now],
        zero_s: int,
        news: RecentPart | None,
        whole: RecentPart | None,
    ) -> tuple[bytes | None, bytes | None]:
        """Return what is told to those who know the rest, and to those who do not."""
        stands, zero = now(), zero_at(self._clock, zero_s)
        grown = first = None
        if news is not None:
            document = grown_document(news, stands, zero)
            grown = message("grown", changed(document, self._told, stands))
        if whole is not None:
            assert self.about is not None
            document = first_document(
                self.about, whole, stands, zero, is_short=self._recent.is_short
            )
            first = message("document", document)
        self._told = stands
        return grown, first
