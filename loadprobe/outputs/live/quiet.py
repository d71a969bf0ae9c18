"""What a run says while it lasts, where there is no terminal: only what changes.

Pure: a line a step, a line when a shard is down and one when it is served again.
``LiveView`` has all the rest, if it is asked for.
"""

from collections.abc import Iterable, Sequence

from loadprobe.clock import NS_PER_MS
from loadprobe.core.events import (
    ConfigReloaded,
    CredentialsChanged,
    Event,
    LoadRestrained,
    MaintenanceBegun,
    MaintenanceOver,
    MarkMade,
    ProviderTold,
    ReloadRefused,
    RunContinued,
    RunProblem,
    ScenarioEnded,
    StepBegun,
    StepEnded,
    StepProblem,
)
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.judging.results import Sealed
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.plan_edges import is_planned_now
from loadprobe.outputs.wording import event_text, printable

_TOLD_AS_EVER = (
    ConfigReloaded,
    CredentialsChanged,
    LoadRestrained,
    MaintenanceBegun,
    MaintenanceOver,
    MarkMade,
    ReloadRefused,
    RunContinued,
)
"""What somebody did to the run, or to the target beside it."""

Line = tuple[int, str]
"""When (monotonic ns), and what."""


class QuietLines:
    """Tells what changes, in words that need no glossary.

    Args:
        steps: how many steps the scenario has.
    """

    def __init__(self, steps: int = 0) -> None:
        self._steps = steps
        self._begun = 0
        self._down: dict[str, dict[Scope, int]] = {}
        self._cut_off: set[str] = set()

    def go_on(self, outages: Iterable[Outage]) -> None:
        """Go on with outages that were told before, to tell their ends."""
        for outage in outages:
            if outage.scope.op is not OpKind.CONNECT:
                shard = self._down.setdefault(outage.scope.shard, {})
                shard[outage.scope] = outage.start_ns

    def take_event(self, event: Event) -> list[Line]:
        """Return what is said of an event: of most of them nothing."""
        text = ""
        match event:
            case StepBegun():
                self._begun += 1
                name, operation = event.step, event.operation
                what = operation if name == operation else f"{name} ({operation})"
                # A step that goes over shards has one name and many begins.
                of = f" of {self._steps}" if self._steps >= self._begun else ""
                text = f"step {self._begun}{of}: {what}"
            case StepEnded() if event.state in (StepState.FAILED, StepState.SKIPPED):
                why = f": {event.reason}" if event.reason else ""
                text = f"step {event.step} {event.state}{why}"
            case ScenarioEnded() if event.state is not ScenarioState.COMPLETED:
                why = f": {event.reason}" if event.reason else ""
                text = f"scenario {event.name} {event.state}{why}"
            case StepProblem() | RunProblem():
                text = f"PROBLEM  {event.text}"
            case _ if isinstance(event, _TOLD_AS_EVER):
                text = event_text(event)
            case ProviderTold() if not self._steps:
                text = f"the provider says: {event.message}"
        return [(event.mono_ns, printable(text))] if text else []

    def take_sealed(self, sealed: Sealed, planned: Sequence[Planned]) -> Iterable[Line]:
        """Yield which shards are down, and which are served again."""
        for outage in sealed.opened:
            yield from self._opened(outage, planned)
        for outage in sealed.closed:
            yield from self._closed(outage)

    def _opened(self, outage: Outage, planned: Sequence[Planned]) -> Iterable[Line]:
        lane, shard, op = outage.scope
        if op is OpKind.CONNECT:
            return
        if is_planned_now(outage, planned):
            if lane not in self._cut_off:
                self._cut_off.add(lane)
                yield outage.start_ns, f"{lane} clients are cut off, as planned"
            return
        if shard not in self._down:
            yield outage.start_ns, f"shard {shard} is down"
        self._down.setdefault(shard, {})[outage.scope] = outage.start_ns

    def _closed(self, outage: Outage) -> Iterable[Line]:
        shard = outage.scope.shard
        down = self._down.get(shard)
        if down is None or outage.scope not in down:
            return
        start_ns = min(down.values())
        begun_ns = down.pop(outage.scope)
        if down:  # told when the last of them is served again; keep when it began
            first = next(iter(down))
            down[first] = min(down[first], start_ns, begun_ns)
            return
        del self._down[shard]
        if outage.open_end:
            yield outage.end_ns, f"shard {shard} is still down at the end"
            return
        length_ms = (outage.end_ns - start_ns) / NS_PER_MS
        yield outage.end_ns, f"shard {shard} is served again after {length_ms:,.0f} ms"
