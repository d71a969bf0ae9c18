"""The controller with all that watches, on a local group."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loadprobe.clock import wall_now_ns
from loadprobe.config.keys import Control, Target
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.settle import mutate
from loadprobe.control.provider.api import ElastiCacheApi, open_api
from loadprobe.control.provider.events import ProviderEvents
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import Event
from loadprobe.core.steps import StepRecord

DEADLINE_S = 40.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """An open API, a running topology watch and event poller, and their journal."""

    api: ElastiCacheApi
    watch: TopologyWatch
    journal: list[Event]

    def of(self, source: str) -> list[Event]:
        """Return the journal's events of one source."""
        return [event for event in self.journal if event.source == source]

    def phases(self, step: str) -> list[object]:
        """Return the names of a step's phases."""
        return [
            event.fields["phase"]
            for event in self.of("controller")
            if event.fields["step"] == step
        ]

    def fields(self, step: str, phase: str) -> Mapping[str, object]:
        """Return the fields of a phase of a step."""
        return next(
            event.fields
            for event in self.of("controller")
            if (event.fields["step"], event.fields["phase"]) == (step, phase)
        )

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
            step=step or mutation.operation,
            emit=self.journal.append,
            topology=self.watch,
            deadline_s=deadline_s,
            poll_s=POLL_S,
            evidence_s=evidence_s,
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
