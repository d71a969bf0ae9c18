"""A comparison from its begin to its end: both directions, and all second looks.

First the keys of the source are looked at on both sides; then those of the target are
looked for in the source. Beside that, keys that differed are looked at again.
"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.core.parity.allowance import Allowance, seconds_left
from loadprobe.core.parity.coverage import Coverage
from loadprobe.core.parity.glimpse import NO_KEY
from loadprobe.core.parity.report import ParityFigures
from loadprobe.core.parity.selection import Selection
from loadprobe.core.parity.state import (
    ParityState,
    ParityTerms,
    coverages_of,
    make_state,
    tally_of,
)
from loadprobe.core.parity.suspects import BothSeen, Suspects
from loadprobe.core.parity.tally import ParityTally
from loadprobe.parity.looking import TYPE, Looker
from loadprobe.parity.side import Side
from loadprobe.parity.state_file import save_state
from loadprobe.parity.walking import Walking

_SAVE_S = 2.0
_SECOND_LOOKS = 500
_NAP_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityPlan:
    """How a comparison is to go.

    Args:
        terms: what is compared.
        keys_per_s: keys to be looked at a second at most; 0: as many as can be.
        settle_s: pause between two looks at a key that differs.
        state_path: where the state is kept; None keeps none.
    """

    terms: ParityTerms
    keys_per_s: int = 0
    settle_s: float = 5.0
    state_path: Path | None = None

    def with_terms(self, terms: ParityTerms) -> "ParityPlan":
        """Return the plan of another comparison that goes the same way."""
        return replace(self, terms=terms)


@dataclass(frozen=True, slots=True)
class ParityProgress:
    """How far it is.

    Args:
        direction: "source" while its keys are looked at, then "target".
        done: keys of this direction that were looked at.
        total: keys that there are, about; 0 if that is not known.
        keys_per_s: over the last seconds.
        left_s: until the end, about; None if that cannot be said.
        different: keys that differ.
        suspects: keys to be looked at again.
    """

    direction: str
    done: int
    total: int
    keys_per_s: float
    left_s: float | None
    different: int
    suspects: int


class Parity:
    """One comparison.

    Args:
        source: one side, open.
        target: the other side, open.
        plan: how it is to go.
        state: of an earlier life, to be gone on with.
    """

    def __init__(
        self, source: Side, target: Side, plan: ParityPlan, state: ParityState | None
    ) -> None:
        self._source = source
        self._target = target
        self._plan = plan
        self._selection = Selection(plan.terms.prefix, plan.terms.sample)
        self._allowance = Allowance(plan.keys_per_s)
        self._suspects = Suspects(int(plan.settle_s * NS_PER_S))
        self._coverages = coverages_of(state) if state else (Coverage(), Coverage())
        self._tally = tally_of(state) if state else ParityTally()
        self._before_s = state.elapsed_s if state else 0.0
        self._begun_ns = mono_now_ns()
        self._is_over = False
        self._sizes = 0, 0
        if state is not None:
            self._suspects.restore(state.suspects, self._begun_ns)
        self._looker = Looker(
            source,
            target,
            tolerance_ns=int(plan.terms.ttl_tolerance_s * NS_PER_S),
            pace=self._pace,
        )

    async def run(self) -> None:
        """Compare all, and look at what differs until it is decided.

        Raises:
            LoadprobeError: (in an exception group) a side does not answer any more, or
                refuses, or the state cannot be written.
        """
        self._sizes = await self._source.size(), await self._target.size()
        self.save()
        async with asyncio.TaskGroup() as group:
            saving = group.create_task(self._save_for_ever())
            walked = asyncio.Event()
            settling = group.create_task(self._settle(walked))
            for side, coverage, step in (
                (self._source, self._coverages[0], self._look),
                (self._target, self._coverages[1], self._look_for),
            ):
                await Walking(side, coverage, self._selection, step).run()
            walked.set()
            await settling
            saving.cancel()
        self._is_over = True

    def save(self) -> None:
        """Keep the state, if it is to be kept.

        Raises:
            PreflightError: it cannot be written.
        """
        if self._plan.state_path is not None:
            save_state(self._plan.state_path, self._state())

    @property
    def figures(self) -> ParityFigures:
        """Return what there is to report by now."""
        first, second = self._coverages
        return ParityFigures(
            self._plan.terms,
            self._tally,
            first.keys_looked,
            second.keys_looked,
            (first.uncovered | second.uncovered) if self._is_over else 0,
            len(self._suspects),
            self._elapsed_s,
            self._is_over,
        )

    def progress(self, keys_per_s: float) -> ParityProgress:
        """Return how far it is.

        Args:
            keys_per_s: how fast it went lately.
        """
        first, second = self._coverages
        is_second = not first.uncovered or second.rounds > 0 or bool(second.walks)
        share = self._selection.share
        # With a prefix nobody knows how many keys there are.
        known = (0, 0) if self._selection.prefix else self._sizes
        sizes = [round(size * share) for size in known]
        coverage, total = (second, sizes[1]) if is_second else (first, sizes[0])
        left_s = seconds_left(
            done=coverage.keys_looked,
            total=total,
            later=0 if is_second else sizes[1],
            keys_per_s=keys_per_s if total else 0.0,
        )
        return ParityProgress(
            "target" if is_second else "source",
            coverage.keys_looked,
            total,
            keys_per_s,
            left_s,
            self._tally.different,
            len(self._suspects),
        )

    @property
    def looked(self) -> int:
        """Return how many keys were looked at, of both directions."""
        return sum(coverage.keys_looked for coverage in self._coverages)

    @property
    def _elapsed_s(self) -> float:
        return self._before_s + (mono_now_ns() - self._begun_ns) / NS_PER_S

    async def _pace(self, keys: int) -> None:
        wait_ns = self._allowance.take(keys, mono_now_ns())
        if wait_ns:
            await asyncio.sleep(wait_ns / NS_PER_S)

    # --- first looks ------------------------------------------------------------------

    async def _look(self, keys: list[bytes]) -> None:
        """Look at keys of the source, on both sides."""
        while self._suspects.is_full:
            await asyncio.sleep(_NAP_S)
        await self._pace(len(keys))
        now_ns = mono_now_ns()
        for key, seen in await self._looker.look(keys):
            self._suspects.add(key, seen, now_ns)

    async def _look_for(self, keys: list[bytes]) -> None:
        """Look for keys of the target in the source."""
        while self._suspects.is_full:
            await asyncio.sleep(_NAP_S)
        await self._pace(len(keys))
        (types,) = await self._source.ask(keys, TYPE)
        if NO_KEY in types:
            pairs = zip(keys, types, strict=True)
            missing = [key for key, each in pairs if each == NO_KEY]
            now_ns = mono_now_ns()
            for key, seen in await self._looker.look(missing):
                self._suspects.add(key, seen, now_ns)

    # --- second looks -----------------------------------------------------------------

    async def _settle(self, walked: asyncio.Event) -> None:
        """Look at suspects again until all are decided and no more come."""
        while self._suspects or not walked.is_set():
            keys = self._suspects.take_due(mono_now_ns(), _SECOND_LOOKS)
            if not keys:
                await asyncio.sleep(_NAP_S)
                continue
            # A difference counts by the word of those who are primaries now.
            await self._source.refresh()
            await self._target.refresh()
            await self._pace(len(keys))
            found = dict(await self._looker.look(keys))
            now_ns = mono_now_ns()
            for key in keys:
                self._decide(key, found.get(key), now_ns)

    def _decide(self, key: bytes, seen: BothSeen | None, now_ns: int) -> None:
        if seen is None:
            self._suspects.drop(key)
            self._tally.settled += 1
            return
        fate = self._suspects.judge(key, seen, now_ns)
        self._tally.note(key, fate, seen)

    # --- state ------------------------------------------------------------------------

    def _state(self) -> ParityState:
        return make_state(
            self._plan.terms,
            self._coverages,
            self._suspects.keys,
            self._tally,
            elapsed_s=self._elapsed_s,
            is_over=self._is_over,
        )

    async def _save_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_S)
            self.save()
