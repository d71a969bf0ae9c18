"""The controller with all that watches, on a local group."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from loadprobe.clock import wall_now_ns
from loadprobe.config.keys import Control, Target
from loadprobe.control.mutations.mutate import TimeLimits, mutate
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.provider.api import ElastiCacheApi, open_api
from loadprobe.control.provider.events import ProviderEvents
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import Event, PhaseDetails, PhaseEntered
from loadprobe.core.steps import StepRecord

DEADLINE_S = 40.0
POLL_S = 0.1

_Kind = TypeVar("_Kind", bound=Event)
_Details = TypeVar("_Details", bound=PhaseDetails)


@dataclass(frozen=True, slots=True)
class Stage:
    """An open API, a running topology watch and event poller, and their journal."""

    api: ElastiCacheApi
    watch: TopologyWatch
    journal: list[Event]

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """Return the journal's events of one kind."""
        return [event for event in self.journal if isinstance(event, kind)]

    def phases(self, step: str) -> list[str]:
        """Return the names of a step's phases."""
        phases = self.of(PhaseEntered)
        return [event.details.phase for event in phases if event.step == step]

    def details(self, step: str, kind: type[_Details]) -> _Details:
        """Return what belongs to the first phase of a kind of a step."""
        phases = [event for event in self.of(PhaseEntered) if event.step == step]
        return next(d for e in phases if isinstance(d := e.details, kind))

    async def carry_out(
        self,
        mutation: Mutation,
        *,
        step: str | None = None,
        evidence_s: float = 2.0,
        deadline_s: float = DEADLINE_S,
    ) -> StepRecord:
        """Carry a mutation out, looking ten times a second."""
        return await mutate(
            self.api,
            mutation,
            Phases(step or mutation.operation, mutation.operation, self.journal.append),
            topology=self.watch,
            pace=TimeLimits(deadline_s, poll_s=POLL_S, evidence_s=evidence_s),
        )


@asynccontextmanager
async def stage(
    target: Target,
    endpoint_url: str,
    *,
    group_id: str = "rg",
    tls: bool = False,
    must_exist: bool = True,
) -> AsyncIterator[Stage]:
    """Open the API and start both watchers."""
    journal: list[Event] = []
    control = Control(replication_group=group_id, endpoint_url=endpoint_url)
    watch = TopologyWatch(target, journal.append, tls=tls, poll_s=0.2)
    async with (
        open_api(control, must_exist=must_exist) as api,
        asyncio.TaskGroup() as group,
    ):
        poller = ProviderEvents(
            api, journal.append, since_unix_ns=wall_now_ns(), poll_s=0.2
        )
        tasks = [group.create_task(watch.run()), group.create_task(poller.run())]
        try:
            yield Stage(api, watch, journal)
        finally:
            for task in tasks:
                task.cancel()
