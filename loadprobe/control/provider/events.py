"""Polls the provider's events and hands each new one of our group to the journal.

Rule: an event is published late and without an id, so every poll asks again for the
minutes before the last answered poll, and what was already seen is left out. Nothing
the provider answers ends the poller, except a missing permission, and credentials that
nobody renews.
"""

import asyncio
import logging
from collections.abc import Iterable

from loadprobe.clock import NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.event_texts import (
    FailoverGrouping,
    NewEvents,
    classify,
    is_ours,
)
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
)
from loadprobe.control.provider.replies import ProviderRecord
from loadprobe.core.events import Emit, ProviderTold

_RENEWAL_S = 15 * 60.0
"""How long credentials may be refused in a row: whoever renews them may be late."""

OVERLAP_NS = 15 * 60 * NS_PER_S
"""How far before the last answered poll every poll asks again: the delay of publication
is not documented, so this is generous."""

_LONGEST_NS = 13 * 24 * 3600 * NS_PER_S
"""What is older is not asked for: the provider keeps events for 14 days."""

logger = logging.getLogger(__name__)


class ProviderEvents:
    """Emits ``ProviderTold`` for each new event.

    Args:
        api: the open API.
        emit: where events go.
        since_unix_ns: start of the run; older events are not emitted.
        poll_s: pause between polls (2 s suits a local endpoint, 10 s AWS).
        until_unix_ns: until when an earlier process of the run asked; None: there was
            none.
        known: what that process emitted.
    """

    def __init__(
        self,
        api: ElastiCacheApi,
        emit: Emit,
        *,
        since_unix_ns: int,
        poll_s: float,
        until_unix_ns: int | None = None,
        known: Iterable[ProviderTold] = (),
    ) -> None:
        self._api = api
        self._emit = emit
        now_unix_ns = wall_now_ns() + (api.offset_ns or 0)
        if until_unix_ns is None:
            until_unix_ns = now_unix_ns
        self._asked_unix_ns = max(
            min(until_unix_ns, now_unix_ns), now_unix_ns - _LONGEST_NS
        )
        self._poll_s = poll_s
        self._new = NewEvents(since_unix_ns=since_unix_ns, passed=map(_record, known))
        self._grouping = FailoverGrouping()
        self._is_failing = False
        self._patience = Patience(limit_s=_RENEWAL_S)

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            ApiRefused: the events may not be read at all: a permission is missing, or
                credentials were refused for 15 minutes.
        """
        while True:
            try:
                await self.poll()
            except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
                self._patience.tolerate(fault)
                self._note_failing(fault)
            else:
                self._patience.reset()
                self._is_failing = False
            await asyncio.sleep(self._poll_s)

    async def poll(self) -> int:
        """Ask once; return the number of events emitted."""
        start = self._asked_unix_ns - OVERLAP_NS
        asked_unix_ns = wall_now_ns() + (self._api.offset_ns or 0)
        records = await self._api.events_since(start)
        self._asked_unix_ns = asked_unix_ns
        seen_unix_ns, mono_ns = wall_now_ns(), mono_now_ns()
        group_id, members = self._api.group_id, self._api.members
        ours = [r for r in records if is_ours(r, group_id=group_id, members=members)]
        fresh = self._new.take(ours)
        for record in fresh:
            meaning = classify(record, group_id=group_id, members=members)
            self._emit(
                ProviderTold(
                    mono_ns,
                    date_unix_ns=record.date_unix_ns,
                    seen_unix_ns=seen_unix_ns,
                    message=record.message,
                    source_identifier=record.source_identifier,
                    source_type=record.source_type,
                    meaning=meaning.kind.value,
                    node_group=meaning.node_group,
                    from_node=meaning.from_node,
                    to_node=meaning.to_node,
                    failover_id=self._grouping.assign(meaning),
                )
            )
        self._new.forget_before(start - OVERLAP_NS)
        return len(fresh)

    def _note_failing(self, fault: Exception) -> None:
        if not self._is_failing:
            logger.warning("provider_events_failing", extra={"lp_error": str(fault)})
        self._is_failing = True


def _record(told: ProviderTold) -> ProviderRecord:
    """Return the record that an event was made of."""
    return ProviderRecord(
        told.source_identifier, told.source_type, told.date_unix_ns, told.message
    )
