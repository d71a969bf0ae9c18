"""The view of a run in a terminal: a live table, or plain lines where there is none.

It shows what it is given and reads no clock: the supervisor fills a ``LiveState``,
calls ``refresh`` when ``is_due`` says so, and ``note`` at every transition.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.events import Event
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.plan_edges import is_planned_now, planned_parts
from loadprobe.core.verdict.texts import clock_text, dark_text, duration_text
from loadprobe.outputs.live.progress import ScenarioProgress
from loadprobe.outputs.live.quiet import QuietLines
from loadprobe.outputs.wording import event_text, plain_words

PLAIN_EVERY_NS = 5 * NS_PER_S
SHOWN_EVERY_NS = NS_PER_S
_REMEMBERED = 1000
"""Problems that are not told again."""

TICKER_LINES = 8
OUTAGE_LINES = 5


@dataclass(slots=True)
class LaneState:
    """How a lane is doing; rates and quantiles are those of the last seconds.

    Args:
        name: the lane.
        offered_per_s: arrivals due per second.
        served_per_s: arrivals served per second.
        errors_per_s: arrivals not served per second, by error class.
        p50_ms: median response time, None without served arrivals.
        p99_ms: its 99th percentile.
        connections: usable connections.
        dark_since_ns: start of the open outage of each shard that has one.
        by_plan: those of these shards that are dark by plan.
    """

    name: str
    offered_per_s: float = 0.0
    served_per_s: float = 0.0
    errors_per_s: Mapping[str, float] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    connections: int = 0
    dark_since_ns: Mapping[str, int] = field(default_factory=dict)
    by_plan: Collection[str] = ()


@dataclass(slots=True)
class ObserverState:
    """How well the probe itself is doing.

    Args:
        max_lag_ms: worst loop lag of all probe processes since the start.
        lateness_p99_ms: 99th percentile of sent - due, None before the first arrival.
        blind_ms: time in which a lane was blind.
        cpu_ratio: CPU used by all probe processes, in cores.
    """

    max_lag_ms: float = 0.0
    lateness_p99_ms: float | None = None
    blind_ms: float = 0.0
    cpu_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class LiveState:
    """What the view shows.

    Args:
        run: name of the run.
        target: host and port of the target.
        started_ns: when the load began, monotonic.
        planned_s: planned length of the load, None for "until stopped".
        lanes: one entry per lane, in the order of the configuration.
        observer: health of the probe.
        problems: what the operator should know now, for example a full disk.
        verdict: the state of the run as far as it is known, "" before it begins.
        headline: all that matters of it until now.
    """

    run: str
    target: str
    started_ns: int
    planned_s: float | None = None
    lanes: list[LaneState] = field(default_factory=list)
    observer: ObserverState = field(default_factory=ObserverState)
    problems: list[str] = field(default_factory=list)
    verdict: str = ""
    headline: str = ""


class LiveView:
    """Shows a run while it lasts; use it as a context manager.

    Args:
        console: where to write; a table that renews itself if it is a terminal,
            plain lines otherwise.
        clock: to show monotonic times as wall times (UTC).
        steps: names of the steps of the scenario, in their order.
        planned: returns the darkness that was planned so far.
        is_full: plain lines tell all that happens, not only what changes.
    """

    def __init__(
        self,
        console: Console,
        *,
        clock: ClockPair,
        steps: Sequence[str] = (),
        planned: Callable[[], Sequence[Planned]] = tuple,
        is_full: bool = False,
    ) -> None:
        self._quiet = None if is_full else QuietLines(len(steps))
        self._planned = planned
        self._progress = ScenarioProgress(steps)
        self._console = console
        self._clock = clock
        self._ticker: deque[str] = deque(maxlen=TICKER_LINES)
        self._outages: deque[str] = deque(maxlen=OUTAGE_LINES)
        self._told_problems: deque[str] = deque(maxlen=_REMEMBERED)
        self._told_verdict = ""
        self._next_plain_ns: int | None = None
        self._shown_ns = 0
        self._is_left = False
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Take over the lower part of the terminal, if there is one."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the terminal back; the table disappears, the report takes its place."""
        if self._live is not None:
            self._live.stop()

    def is_due(self, now_ns: int) -> bool:
        """Tell whether the state is to be worked out: without a terminal once a second.

        A sixth of what a supervisor costs at a low rate is for what nobody looks at.
        """
        return self._live is not None or now_ns - self._shown_ns >= SHOWN_EVERY_NS

    def refresh(self, state: LiveState, now_ns: int) -> None:
        """Show the present state; plain lines come once in five seconds only."""
        self._shown_ns = now_ns
        if self._live is not None:
            self._live.update(self._render(state, now_ns), refresh=True)
            return
        if self._quiet is not None:
            self._tell_problems(state, now_ns)
            return
        if self._next_plain_ns is None or now_ns >= self._next_plain_ns:
            self._next_plain_ns = now_ns + PLAIN_EVERY_NS
            for lane in state.lanes:
                self._print(now_ns, _plain_lane(lane, state, now_ns))
            if progress := self._progress.line(now_ns):
                self._print(now_ns, progress)
            verdict = _verdict(state)
            if state.headline and verdict != self._told_verdict:
                self._told_verdict = verdict
                self._print(now_ns, verdict)
            self._tell_problems(state, now_ns)

    def _tell_problems(self, state: LiveState, now_ns: int) -> None:
        """Print every problem once."""
        for problem in state.problems:
            if problem not in self._told_problems:
                self._told_problems.append(problem)
                self._print(now_ns, f"problem: {problem}")

    def go_on(self, outages: Iterable[Outage]) -> None:
        """Go on with outages that were shown before."""
        if self._quiet is not None:
            self._quiet.go_on(outages)

    def leave(self) -> None:
        """Show no more ends of outages: another view goes on at once."""
        self._is_left = True

    def take_event(self, event: Event) -> None:
        """Show a phase, a provider event or a change of topology."""
        self._progress.take(event)
        if self._quiet is not None:
            self._tell(self._quiet.take_event(event))
            return
        self._tell([(event.mono_ns, event_text(event))])

    def take_sealed(self, sealed: Sealed) -> None:
        """Show which scopes went dark, and which are served again."""
        if self._is_left:
            return
        plans = self._planned()
        if self._quiet is not None:
            self._tell(self._quiet.take_sealed(sealed, plans))
            return
        for outage in sealed.opened:
            self._note_opened(outage, plans)
        for outage in sealed.closed:
            self._note_closed(outage, plans)

    def _tell(self, lines: Iterable[tuple[int, str]]) -> None:
        """Show lines with their times (monotonic)."""
        for mono_ns, line in lines:
            self._ticker.append(f"{self._time(mono_ns)} {line}")
            if self._live is None:
                self._print(mono_ns, line)

    def _note_opened(self, outage: Outage, plans: Sequence[Planned]) -> None:
        """Show that a scope ("tls 0002 read") went dark."""
        if self._live is None:
            why = ", by plan" if is_planned_now(outage, plans) else ""
            scope = _scope_text(outage.scope)
            self._print(outage.start_ns, f"outage opened: {scope}{why}")

    def _note_closed(self, outage: Outage, plans: Sequence[Planned]) -> None:
        """Show that an outage ended, with its length and error bars."""
        bars = outage.lower_ns, outage.duration_ns, outage.upper_ns, outage.unseen_ns
        line = f"{_scope_text(outage.scope)} was dark for {dark_text(DarkTime(*bars))}"
        if by_plan := planned_parts(outage, plans):
            part_ns = sum(part.duration_ns for part in by_plan)
            part = f"{part_ns / NS_PER_MS:.0f} ms of it "
            line = f"{line}, {'' if by_plan == [outage] else part}by plan"
        self._outages.append(f"{self._time(outage.end_ns)} {line}")
        if self._live is None:
            self._print(outage.end_ns, f"outage closed: {line}")

    def _time(self, mono_ns: int) -> str:
        return clock_text(self._clock.to_wall(mono_ns))

    def _print(self, mono_ns: int, line: str) -> None:
        # soft_wrap: a log line stays one line; no markup: texts come from elsewhere.
        self._console.print(
            f"{self._time(mono_ns)} {line}",
            soft_wrap=True,
            markup=False,
            highlight=False,
            emoji=False,
        )

    def _render(self, state: LiveState, now_ns: int) -> RenderableType:
        is_full = self._quiet is None
        parts: list[RenderableType] = [
            Text(_header(state, now_ns), style="bold"),
            _lane_table(state.lanes, title="lane" if is_full else "clients"),
        ]
        if state.verdict:
            text = _verdict(state)
            parts.insert(1, Text(text if is_full else plain_words(text)))
        if progress := self._progress.line(now_ns):
            parts.insert(1, Text(progress))
        word = "DARK" if is_full else "DOWN"
        for lane in state.lanes:
            for shard, line in _dark_lines(lane, now_ns):
                text = (
                    f"{'plan' if shard in lane.by_plan else word}  {lane.name} {line}"
                )
                parts.append(Text(text if is_full else plain_words(text)))
        parts.extend(_section("last outages", self._outages))
        parts.extend(_section("events" if is_full else "so far", self._ticker))
        observer = state.observer
        text = _observer_line(observer) if is_full else _own_line(observer)
        parts.append(Text(text, style="dim"))
        parts.extend(Text(f"PROBLEM  {problem}") for problem in state.problems)
        return Group(*parts)


def _scope_text(scope: Scope) -> str:
    return f"{scope.lane} {scope.shard} {scope.op.label}"


def _header(state: LiveState, now_ns: int) -> str:
    elapsed = duration_text(max(0, now_ns - state.started_ns))
    planned = (
        "until stopped"
        if state.planned_s is None
        else f"of {duration_text(int(state.planned_s * NS_PER_S))}"
    )
    return f"{state.run}  {elapsed} {planned}  {state.target}"


def _verdict(state: LiveState) -> str:
    told = f" - {state.headline}" if state.headline else ""
    return f"so far: {state.verdict}{told}"


def _lane_table(lanes: Iterable[LaneState], *, title: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(title, no_wrap=True)
    for name in ("offered/s", "served/s", "errors/s", "p50 ms", "p99 ms", "conns"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("errors by class", overflow="fold")
    for lane in lanes:
        table.add_row(
            Text(lane.name),
            f"{lane.offered_per_s:,.0f}",
            f"{lane.served_per_s:,.0f}",
            f"{sum(lane.errors_per_s.values()):,.0f}",
            _ms(lane.p50_ms),
            _ms(lane.p99_ms),
            f"{lane.connections:,}",
            Text(_errors(lane.errors_per_s)),
        )
    return table


def _section(title: str, lines: Iterable[str]) -> list[RenderableType]:
    shown = [Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in lines]
    return [Text(title, style="dim"), *shown] if shown else []


def _plain_lane(lane: LaneState, state: LiveState, now_ns: int) -> str:
    parts = [
        f"+{duration_text(max(0, now_ns - state.started_ns))}",
        lane.name,
        f"offered {lane.offered_per_s:.0f}/s",
        f"served {lane.served_per_s:.0f}/s",
        f"errors {sum(lane.errors_per_s.values()):.0f}/s",
        f"p50 {_ms(lane.p50_ms)} ms",
        f"p99 {_ms(lane.p99_ms)} ms",
        f"conns {lane.connections}",
    ]
    if lane.errors_per_s:
        parts.append(f"({_errors(lane.errors_per_s)})")
    parts.extend(line for _, line in _dark_lines(lane, now_ns))
    return "  ".join(parts)


def _dark_lines(lane: LaneState, now_ns: int) -> Iterator[tuple[str, str]]:
    """Yield (shard, what is said of it) of the shards that are dark."""
    for shard, since_ns in sorted(lane.dark_since_ns.items()):
        why = " by plan" if shard in lane.by_plan else ""
        yield shard, f"{shard} dark{why} for {_seconds(since_ns, now_ns)}"


def _observer_line(observer: ObserverState) -> str:
    return (
        f"observer  lag max {observer.max_lag_ms:.1f} ms  "
        f"lateness p99 {_ms(observer.lateness_p99_ms)} ms  "
        f"blind {observer.blind_ms:.0f} ms  CPU {observer.cpu_ratio:.2f} cores"
    )


def _own_line(observer: ObserverState) -> str:
    return (
        f"loadprobe itself: stalled for {observer.blind_ms:.0f} ms, "
        f"CPU {observer.cpu_ratio:.2f} cores"
    )


def _errors(errors_per_s: Mapping[str, float]) -> str:
    ranked = sorted(errors_per_s.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {rate:.0f}" for name, rate in ranked if rate > 0)


def _seconds(since_ns: int, now_ns: int) -> str:
    return f"{max(0, now_ns - since_ns) / NS_PER_S:.3f} s"


def _ms(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms:.2f}"
