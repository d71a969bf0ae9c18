"""A run whose supervisor is all there is of it: nothing is probed."""

import asyncio
import io
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Config, Http, Lane, Output, Target
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.probe.rates import LaneRates
from loadprobe.run import crew
from loadprobe.run.plan import RunPlan
from loadprobe.run.run import Run
from loadprobe.run.service import Service
from loadprobe.signals import Stopping


class Unprobed:
    """A measurement without probe processes."""

    def __init__(self, _config: Config, **_callbacks: object) -> None:
        self.aggregate = Aggregate([LaneInfo("tcp", False, (0,), 250_000_000)])
        self.lost_writes = None
        self.written = None
        self.rates = LaneRates(())
        self.tuning = self  # nobody is tuned
        self.names = ShardNames()
        self.news = asyncio.Event()
        self.end_ns: int | None = None
        self.watermark_ns: dict[int, int] = {}
        self.standby = None
        self.seals = 0
        self.on_seal: Callable[[], None] = lambda: None
        self.ready = asyncio.Event()
        self.ready.set()

    def use_forwards(self) -> None:
        """Do nothing: there is nobody to tell."""

    def spawn(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start what never ends by itself."""

        async def probe() -> None:
            await asyncio.Event().wait()

        return [group.create_task(probe())]

    async def wait_until_ready(self) -> None:
        """Wait for the test."""
        await self.ready.wait()

    def tell(self, listeners: object) -> None:
        """Have nothing to tell."""

    def prepare(self) -> None:
        """Have no lanes that sleep."""

    def begin(self) -> int:
        """Begin now."""
        now_ns = mono_now_ns()
        self.aggregate.start_process(0, now_ns)
        return now_ns

    def seal(self) -> Sealed:
        """Count, and do what the test wants."""
        self.seals += 1
        self.on_seal()
        return self.aggregate.seal()

    async def end(
        self,
        probing: list[asyncio.Task[None]],
        *,
        meanwhile: Callable[[], object],
        closed: Sequence[str],
        read_back_s: float,
    ) -> int:
        """End at once."""
        self.end_ns = mono_now_ns()
        for task in probing:
            task.cancel()
        meanwhile()
        return self.end_ns

    def kill(self) -> None:
        """Nothing runs."""


class Supervised:
    """A run without probes, and what it printed."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        folder: Path,
        *companions: Callable[[], Coroutine[None, None, None]],
        duration_s: float | None = 0.3,
        remote_write: RemoteWrite | None = None,
    ) -> None:
        monkeypatch.setattr(crew, "Measurement", Unprobed)
        self._folder = folder
        self._text = io.StringIO()
        config = Config(
            target=Target(host="127.0.0.1"),
            lanes=(Lane(name="tcp"),),
            http=Http(listen=""),
            output=Output(dir=str(folder)),
            remote_write=remote_write,
        )
        console = Console(file=self._text, width=160)
        self.stopping = Stopping()
        plan = RunPlan(config, duration_s=duration_s)
        self.run = Run(plan, None, console, self.stopping, Service())
        start = self.run._crew.watching

        def watching() -> list[Coroutine[None, None, None]]:
            for coroutine in start():  # the watch would ask a real target
                coroutine.close()
            return [make() for make in companions]

        monkeypatch.setattr(self.run._crew, "watching", watching)
        measurement: Any = self.run._crew.measurement
        assert isinstance(measurement, Unprobed)
        self.measurement = measurement

    @property
    def text(self) -> str:
        """Return what was printed."""
        return self._text.getvalue()

    def document(self, name: str) -> dict[str, Any]:
        """Return a document of the run folder."""
        (path,) = self._folder.glob(f"*/{name}")
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document


async def break_down() -> None:
    """Meet what nobody thought of."""
    raise KeyError("no such thing")
