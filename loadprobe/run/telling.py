"""Tells people of incidents, through the webhooks of the configuration.

Nothing is decided here: ``core.verdict.incident_tracker`` knows when, and
``outputs.webhooks`` how. It sits beside the measuring; what it takes from the news is a
few comparisons while nothing is dark.
"""

import asyncio
import hashlib
import platform
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from loadprobe.clock import NEVER_NS, NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.config.keys import Config
from loadprobe.config.webhooks import Webhook
from loadprobe.core.events import Event, MaintenanceBegun, MaintenanceOver
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.blame import Blamed
from loadprobe.core.verdict.incident_tracker import IncidentTracker
from loadprobe.core.verdict.notices import Notice, maintenance_notice, make_notice
from loadprobe.core.verdict.occasions import (
    Occasion,
    OpenIncident,
    TellingRules,
)
from loadprobe.outputs.webhooks.sender import Sender, WebhookMetrics, queue_file

Blaming = Callable[[Sequence[Outage]], Sequence[Blamed]]


class Telling:
    """Feeds the trackers of all webhooks, and their senders.

    Args:
        config: what is run.
        aggregate: the judged arrivals.
        clock: to show monotonic times as UNIX times.
        metrics: where notices are counted.
        target: returns the name of the target.
        blame: returns parts of outages with their causes as of now.
        planned: returns the darkness that was planned so far.
    """

    def __init__(
        self,
        config: Config,
        aggregate: Aggregate,
        clock: ClockPair,
        metrics: WebhookMetrics,
        *,
        target: Callable[[], str],
        blame: Blaming,
        planned: Callable[[], Sequence[Planned]],
    ) -> None:
        self._config = config
        self._aggregate = aggregate
        self._clock = clock
        self._metrics = metrics
        self._target = target
        self._blame = blame
        self._planned = planned
        self._sending: dict[_Teller, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._begun: MaintenanceBegun | None = None
        self._before_ns = -NEVER_NS
        self._told_begun: set[str] = set()
        self._tellers = [self._make(webhook) for webhook in config.webhooks]

    def _make(self, webhook: Webhook) -> "_Teller":
        config = self._config
        file = queue_file(config.output.dir, config.name, webhook.name)
        return _Teller(
            config,
            webhook,
            self._clock,
            Sender(webhook, file, self._metrics),
            target=self._target,
            blame=self._blame,
        )

    async def use(self, webhooks: Sequence[Webhook]) -> None:
        """Tell other receivers from now on.

        One that is as it was is not disturbed. One that is different goes on with what
        waits for it, and with the incident it was told of. What waits for one that is
        not there any more stays on disk.

        Args:
            webhooks: all of them.
        """
        same = {t.webhook: t for t in self._tellers if t.webhook in webhooks}
        for teller in [t for t in self._tellers if t.webhook not in webhooks]:
            self._tellers.remove(teller)
            sending = self._sending.pop(teller, None)
            if sending is not None:
                sending.cancel()
                await asyncio.wait({sending})
            teller.sender.close()
            self._metrics.set("webhook_queue_notices", teller.webhook.name, value=0)
        self._tellers = [same.get(each) or self._make(each) for each in webhooks]
        self._recall(t for t in self._tellers if t not in same.values())
        self._changed.set()

    @property
    def problems(self) -> list[str]:
        """Return what is wrong with receivers, as sentences."""
        return [text for teller in self._tellers for text in teller.sender.problems]

    def go_on(self, events: Iterable[Event]) -> None:
        """Go on with incidents of this run that are open, before anything is judged.

        Args:
            events: of the process before, in their order.
        """
        for event in events:
            if isinstance(event, MaintenanceBegun):
                self._begun = event
        self._before_ns = self._aggregate.sealed_until_ns
        self._recall(self._tellers)

    def _recall(self, tellers: "Iterable[_Teller]") -> None:
        for teller in tellers:
            teller.recall(self._aggregate, self._planned())

    def take_event(self, event: Event) -> None:
        """Have told of maintenance by others whoever wants to know."""
        if isinstance(event, MaintenanceBegun):
            self._begun = event
        if isinstance(event, MaintenanceBegun | MaintenanceOver):
            start_ns, begun = event.start_unix_ns, self._begun
            if begun is not None and begun.number == event.number:
                start_ns = begun.start_unix_ns
            # Who was told of its begin may not want to know of others any more.
            told, self._told_begun = self._told_begun, set()
            is_begun = isinstance(event, MaintenanceBegun)
            for teller in self._tellers:
                name = teller.webhook.name
                if teller.webhook.tell_maintenance or (name in told and not is_begun):
                    teller.take_maintenance(event, start_ns)
                    if is_begun:
                        self._told_begun.add(name)

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what became certain, and have told what is to be."""
        if not self._tellers:
            return
        planned, current = self._planned(), self._aggregate.current()
        shards = sorted({s.shard for s in self._aggregate.scope_totals})
        for teller in self._tellers:
            teller.take(sealed, current, planned, shards, is_lit=self._is_lit)

    def _is_lit(self, scope: Scope) -> bool:
        """Tell whether a scope was served since this process began, or has gone."""
        served_ns = self._aggregate.last_served_ns(scope)
        if served_ns is not None and served_ns >= self._before_ns:
            return True
        return all(lane.name != scope.lane for lane in self._config.lanes)

    async def send(self) -> None:
        """Send notices, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for teller in self._tellers:
                    if teller not in self._sending:
                        task = group.create_task(teller.sender.run())
                        self._sending[teller] = task
                self._changed.clear()
                await self._changed.wait()

    def leave(self) -> None:
        """Tell what goes on when the run ends, and keep what waits; all is judged."""
        shards = sorted({s.shard for s in self._aggregate.scope_totals})
        for teller in self._tellers:
            teller.leave(shards)
            teller.sender.keep()

    def hand_over(self) -> None:
        """Keep what waits on disk, for the segment that follows at once."""
        for teller in self._tellers:
            teller.sender.close()

    async def flush(self) -> None:
        """Send the last of them, after ``leave``; takes a few seconds at most."""
        await asyncio.gather(*(teller.sender.flush() for teller in self._tellers))


class _Teller:
    """What one receiver is told."""

    def __init__(
        self,
        config: Config,
        webhook: Webhook,
        clock: ClockPair,
        sender: Sender,
        *,
        target: Callable[[], str],
        blame: Blaming,
    ) -> None:
        self.sender = sender
        self.webhook = webhook
        self._config = config
        self._clock = clock
        self._target = target
        self._blame = blame
        resumed = {i.is_planned: self._in_mono(i) for i in sender.resumed}
        # Who was told of an opening is told the end, though of no plan any more.
        tells_planned = webhook.tell_planned or True in resumed
        kinds = (False, True) if tells_planned else (False,)
        self._trackers = {
            is_planned: IncidentTracker(
                _rules(config, webhook, is_planned=is_planned),
                name=partial(self._name, is_planned=is_planned),
                resumed=resumed.get(is_planned),
            )
            for is_planned in kinds
        }

    def recall(self, aggregate: Aggregate, planned: Sequence[Planned]) -> None:
        """Take what was judged of this run while something else told of it."""
        begin_ns = aggregate.begin_ns
        for tracker in self._trackers.values():
            found = tracker.open_incident
            if found is None or begin_ns is None:
                continue
            if found.start_ns >= begin_ns:
                until_ns = aggregate.sealed_until_ns
                tracker.recall(aggregate.outages, planned, until_ns)

    def take(
        self,
        sealed: Sealed,
        current: Mapping[Scope, Outage],
        planned: Sequence[Planned],
        shards: Collection[str],
        *,
        is_lit: Callable[[Scope], bool],
    ) -> None:
        """Take what became certain."""
        occasions = [
            occasion
            for tracker in self._trackers.values()
            for occasion in tracker.take(
                closed=sealed.closed,
                current=current,
                blind=sealed.blind,
                planned=planned,
                until_ns=sealed.until_ns,
                is_last=sealed.is_last,
                is_lit=is_lit,
            )
        ]
        self._offer(occasions, shards)
        if not self.webhook.tell_planned:
            self._leave_plans()

    def _leave_plans(self) -> None:
        """Tell of no plan any more, once those that were told of are over."""
        tracker = self._trackers.get(True)
        if tracker is not None and tracker.open_incident is None:
            del self._trackers[True]

    def take_maintenance(
        self, event: MaintenanceBegun | MaintenanceOver, start_unix_ns: int
    ) -> None:
        """Tell that others begin to change the group, or are done.

        Args:
            event: that it has begun, or is over.
            start_unix_ns: when it began, as it was told first: an earlier sign may have
                come since.
        """
        at = datetime.fromtimestamp(start_unix_ns // NS_PER_S, UTC)
        name = f"{self._config.name}-maintenance-{event.number}-{at:%Y%m%dT%H%M%S}Z"
        notice = maintenance_notice(
            event,
            incident=f"{name}-{self._mark('')}",
            at_unix_ns=self._clock.to_wall(event.mono_ns),
            run=self._config.name,
            target=self._target(),
            probe_host=platform.node(),
            lanes=[lane.name for lane in self._config.lanes],
        )
        self.sender.offer([notice], self._still_open())

    def leave(self, shards: Collection[str]) -> None:
        """Tell what is left open by the end of the run."""
        self._offer([o for t in self._trackers.values() for o in t.leave()], shards)

    def _offer(self, occasions: Sequence[Occasion], shards: Collection[str]) -> None:
        if not occasions:
            return
        notices = [self._notice(occasion, shards) for occasion in occasions]
        self.sender.offer(notices, self._still_open())

    def _still_open(self) -> list[OpenIncident]:
        return [
            replace(found, start_ns=self._clock.to_wall(found.start_ns))
            for tracker in self._trackers.values()
            if (found := tracker.open_incident) is not None
        ]

    def _notice(self, occasion: Occasion, shards: Collection[str]) -> Notice:
        longest = max(occasion.outages, key=lambda o: o.duration_ns, default=None)
        parts = self._blame([longest] if longest is not None else [])
        main = max(parts, key=lambda part: part.outage.duration_ns, default=None)
        return make_notice(
            occasion,
            clock=self._clock,
            run=self._config.name,
            target=self._target(),
            probe_host=platform.node(),
            lanes=[lane.name for lane in self._config.lanes],
            shards=shards,
            attribution=main.attribution if main is not None else None,
        )

    def _in_mono(self, incident: OpenIncident) -> OpenIncident:
        return replace(incident, start_ns=self._clock.to_mono(incident.start_ns))

    def _name(self, start_ns: int, *, is_planned: bool) -> str:
        """Return a name that no incident of another run, target or machine has."""
        unix_ns = self._clock.to_wall(start_ns)
        at = datetime.fromtimestamp(unix_ns // NS_PER_S, UTC)
        ms = unix_ns // NS_PER_MS % 1000
        mark = self._mark(str(is_planned))
        return f"{self._config.name}-{at:%Y%m%dT%H%M%S}.{ms:03d}Z-{mark}"

    def _mark(self, more: str) -> str:
        """Return what tells notices of this machine and target from those of others."""
        whose = f"{platform.node()}/{self._config.name}/{self._target()}/{more}"
        return hashlib.sha256(whose.encode()).hexdigest()[:8]


def _rules(config: Config, webhook: Webhook, *, is_planned: bool) -> TellingRules:
    return TellingRules(
        quiet_ns=config.probe.quiet_ms * NS_PER_MS,
        min_dark_ns=webhook.min_dark_ms * NS_PER_MS,
        worse_dark_ns=webhook.worse_dark_ms * NS_PER_MS,
        pause_ns=webhook.pause_s * NS_PER_S,
        is_planned=is_planned,
    )
