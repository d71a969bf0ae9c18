"""When the way to the cluster was blocked, told from events. Pure."""

from collections import deque
from dataclasses import replace

from loadprobe.clock import NEVER_NS, NS_PER_MS
from loadprobe.core.events import (
    Event,
    NodeForwarded,
    NodeReached,
    NodeUnreached,
    RunContinued,
    TunnelAnswered,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
)
from loadprobe.core.verdict.beside import Blocked

_KEPT = 1000
_ECHO = "echo"


class BlockedLog:
    """Keeps the latest times at which a way was blocked; see ``Blocked``."""

    def __init__(self) -> None:
        self._ended: deque[Blocked] = deque(maxlen=_KEPT)
        self._open: dict[str, Blocked] = {}

    @property
    def spans(self) -> tuple[Blocked, ...]:
        """Return all of them; what goes on has no end."""
        return (*self._ended, *self._open.values())

    def leave(self, until_ns: int) -> None:
        """End what goes on of what began before a time: nobody looked from then on.

        Whoever looks again tells anew what is blocked, but not what no longer is.
        """
        for what, blocked in list(self._open.items()):
            if blocked.start_ns < until_ns:
                self._end(what, until_ns)

    def take_event(self, event: Event) -> None:
        """Take what was seen of the ways."""
        match event:
            case RunContinued():
                self.leave(event.mono_ns - round(event.blind_ms * NS_PER_MS))
            case TunnelBroken():
                since_ns = event.mono_ns - round(event.silent_ms * NS_PER_MS)
                text = f"the tunnel to {event.to} was broken ({event.reason})"
                self._begin("", Blocked(since_ns, NEVER_NS, "transport", text))
            case TunnelOpened():
                self._end("", event.mono_ns)
                self._end(_ECHO, event.mono_ns)
            case TunnelStalled():
                since_ns = event.mono_ns - round(event.silent_ms * NS_PER_MS)
                text = f"the tunnel to {event.to} answered nothing, nor did its echo"
                self._begin(_ECHO, Blocked(since_ns, NEVER_NS, "transport", text))
            case TunnelAnswered():
                self._end(_ECHO, event.mono_ns)
            case NodeUnreached():
                self._end(event.node, event.mono_ns)
                if event.shard:
                    since_ns = event.mono_ns - round(event.known_ms * NS_PER_MS)
                    text = f"nothing led to {event.node}: {event.reason}"
                    blocked = Blocked(since_ns, NEVER_NS, "path", text, event.shard)
                    self._begin(event.node, blocked)
            case NodeReached():
                self._end(event.node, event.mono_ns)
            case NodeForwarded() if event.shard:
                since_ns = event.mono_ns - round(event.waited_ms * NS_PER_MS)
                text = f"the tunnel had no forward to {event.node} yet"
                self._ended.append(
                    Blocked(since_ns, event.mono_ns, "transport", text, event.shard)
                )

    def _begin(self, what: str, blocked: Blocked) -> None:
        self._open.setdefault(what, blocked)

    def _end(self, what: str, at_ns: int) -> None:
        blocked = self._open.pop(what, None)
        if blocked is not None:
            self._ended.append(replace(blocked, end_ns=at_ns))
