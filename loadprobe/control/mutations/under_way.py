"""A mutation under way: what it is about, and how its group is looked at."""

from collections.abc import Collection

from loadprobe.control.mutations.changes import FailOver
from loadprobe.control.mutations.failover_signs import FailoverSigns
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.mutations.signs import Signs, StateSigns, TopologySource
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
)
from loadprobe.control.provider.state import GroupState, Need


class UnderWay:
    """One mutation under way.

    Args:
        api: the open API.
        mutation: what to change.
        phases: where its phases go.
        topology: the running topology watch.
        patience_s: how long, in seconds, signs are looked for and credentials may be
            refused.

    Attributes:
        what: the mutation, for people.
        signs: how it shows.
        was_there: the group was seen.
    """

    def __init__(
        self,
        api: ElastiCacheApi,
        mutation: Mutation,
        phases: Phases,
        topology: TopologySource,
        *,
        patience_s: float,
    ) -> None:
        self.api = api
        self.mutation = mutation
        self.phases = phases
        self.topology = topology
        self.patience_s = patience_s
        self.patience = Patience(limit_s=patience_s)
        self.what = mutation.describe()
        self.signs = self._choose_signs()
        self.was_there = False

    def _choose_signs(self) -> Signs:
        if isinstance(self.mutation, FailOver):
            return FailoverSigns(
                self.api,
                self.mutation,
                self.phases,
                self.topology,
                patience_s=self.patience_s,
            )
        return StateSigns(
            self.api, self.mutation, self.topology, quiet_s=self.patience_s
        )

    async def look(self, needs: Collection[Need] = ()) -> GroupState | None:
        """Describe the group; None for a fault that may pass."""
        try:
            state = await self.api.describe_state(needs, missing_ok=True)
        except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
            self.patience.tolerate(fault)
            return None
        self.patience.reset()
        return state

    @property
    def last_fault(self) -> str:
        """The last fault of a look since an answer came, for the end of a message."""
        last = self.patience.last
        return f"; last API fault: {last}" if last else ""
