"""Requests to read the configuration of a run again, and what they lead to.

They come by signal and by HTTP, while the load flows. What is refused is said, and
changes nothing.
"""

from collections.abc import Callable

from loadprobe.clock import mono_now_ns
from loadprobe.config.changes import ChangedKeys
from loadprobe.config.keys import Config
from loadprobe.run.companions import Companions
from loadprobe.run.crew import Crew
from loadprobe.run.recording import Recording
from loadprobe.run.reloading import BY_SIGNAL, Reloading
from loadprobe.run.service import Service
from loadprobe.run.succession import Present, Succession
from loadprobe.signals import Stopping


class ReloadRequests:
    """Answers requests for another configuration (see the module).

    Args:
        crew: goes by what is swapped.
        succession: has the run go over into a new segment for the rest.
        service: is told when it happens.
        stopping: knows of the signal.
        companions: are told of what nothing expects.
        recording: returns what writes the run down, once the load has begun.
        is_ready: tells whether the load flows.
    """

    def __init__(
        self,
        crew: Crew,
        succession: Succession,
        *,
        service: Service,
        stopping: Stopping,
        companions: Companions,
        recording: Callable[[], Recording],
        is_ready: Callable[[], bool],
    ) -> None:
        self._crew = crew
        self._succession = succession
        self._service = service
        self._stopping = stopping
        self._companions = companions
        self._is_ready = is_ready
        self._reloading = Reloading(
            succession.as_read,
            succession.reread,
            crew.swap(recording),
            go_over=self._prepare_next,
            emit=crew.sinks.take_event,
            metrics=crew.published.metrics,
            credentials=crew.credentials,
        )

    async def take_signals(self) -> None:
        """Read the configuration again whenever a signal asks for it.

        Once another segment is to follow, it is for that one.
        """
        hangup = self._stopping.hangup
        while True:
            await hangup.wait()
            await self._reloading.settled()
            if self._succession.next is not None:
                return
            hangup.clear()
            await self.take(BY_SIGNAL)

    async def take(self, by: str) -> tuple[bool, str]:
        """Read the configuration again; tell whether it is in force, and about it."""
        if not self._is_ready():
            return False, "the load has not begun, or has ended; ask again when it runs"
        self._service.reloading(mono_now_ns())
        try:
            done = await self._reloading.reload(by=by)
        except Exception as exc:  # noqa: BLE001 - it is told, and is not the load
            return False, self._companions.take_defect("a reload", exc)
        finally:
            if self._succession.next is None:  # else it is when the load goes on
                self._service.ready()
        return done.is_done, done.text

    async def _prepare_next(self, config: Config, what: ChangedKeys) -> None:
        """Have all ready to go over into a new segment.

        Raises:
            LoadprobeError: it cannot be, and why; nothing has changed.
        """
        measurement = self._crew.measurement
        present = Present(
            self._crew.plan, measurement.aggregate.lanes, measurement.names.nodes
        )
        await self._succession.prepare(config, what, present)
