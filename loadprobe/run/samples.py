"""Single milliseconds of a run: kept a while, shown on a page, sent to a receiver."""

from collections.abc import Callable, Sequence

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.ms_log import MsLog, MsWindow
from loadprobe.core.judging.ms_samples import MsSamples
from loadprobe.core.judging.results import Sealed
from loadprobe.outputs.remote_write.sender import RemoteWriter


class Samples:
    """Feeds the log of single milliseconds and those who read it.

    Args:
        log: where they are kept.
        window: what the page shows.
        writer: sends them to a receiver, if there is one.
        planned: returns those of darkness by plan up to a time, each once.
    """

    def __init__(
        self,
        log: MsLog,
        window: MsWindow,
        writer: RemoteWriter | None,
        *,
        planned: Callable[[int], Sequence[MsSamples]],
    ) -> None:
        self._planned = planned
        self._log = log
        self._window = window
        self._writer = writer

    @property
    def problems(self) -> list[str]:
        """Return what is wrong with the receiver, as sentences."""
        problem = self._writer.problem if self._writer is not None else None
        return [problem] if problem else []

    def take_sealed(self, sealed: Sealed) -> None:
        """Keep the milliseconds that became certain."""
        sealed_ms = sealed.until_ns // NS_PER_MS
        samples = [*sealed.samples, *self._planned(sealed.until_ns)]
        self._log.add(samples, until_ms=sealed_ms)
        self._window.advance(sealed_ms)
        if self._writer is not None:
            self._writer.advance(sealed_ms)

    async def send(self) -> None:
        """Send samples to the receiver, until cancelled."""
        if self._writer is not None:
            await self._writer.run()

    async def flush(self) -> None:
        """Send the last of them, once all is judged; takes a few seconds at most."""
        if self._writer is not None:
            await self._writer.flush()
