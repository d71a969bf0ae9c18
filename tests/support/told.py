"""A run whose incidents receivers are told of, in virtual time."""

import json
from pathlib import Path

import msgspec

from loadprobe.clock import ClockPair
from loadprobe.config.keys import Config, Lane, Output
from loadprobe.config.webhooks import Webhook
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.notices import Notice
from loadprobe.run.telling import Telling
from tests.support.aggregating import MS, SCOPE, refuse, served

S = 1_000_000_000
CLOCK = ClockPair(0, 1_700_000_000 * S)


class Unmeasured:
    """Metrics that hardly anybody looks at."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, ...], float] = {}

    def set(self, *labels: str, value: float) -> None:
        """Take a figure."""
        self.shown[labels] = value

    def add(self, *_: str, by: float = 1) -> None:
        """Take a count."""


class Told:
    """A run of one scope, 100 arrivals a second, and what waits for its receivers."""

    def __init__(self, folder: Path, aggregate: Aggregate, at_ms: int = 0) -> None:
        self._folder = folder
        self.aggregate = aggregate
        self.now_ms = at_ms
        self.metrics = Unmeasured()
        self.webhook = Webhook("chat", "json", url="http://127.0.0.1:1/", pause_s=1)
        self.planned: list[Planned] = []
        self.telling = Telling(
            Config(
                name="night",
                lanes=(Lane("tcp"),),
                webhooks=(self.webhook,),
                output=Output(dir=str(folder)),
            ),
            aggregate,
            CLOCK,
            self.metrics,
            target=lambda: "db.example.com",
            blame=lambda _outages: [],
            planned=lambda: self.planned,
        )

    def until(self, end_ms: int, *, dark: bool = False) -> None:
        """Let time pass, sealed every 250 ms."""
        while self.now_ms < end_ms:
            then_ms = self.now_ms + 250
            dues = range(self.now_ms, then_ms, 10)
            block = refuse(Block(), *dues) if dark else served(*dues)
            self.aggregate.add(0, {SCOPE: block}, watermark_ns=then_ms * MS)
            self.telling.take_sealed(self.aggregate.seal())
            self.now_ms = then_ms

    def see(self, until_ms: int) -> None:
        """Let time pass in which nothing is due."""
        while self.now_ms < until_ms:
            self.now_ms += 250
            self.aggregate.add(0, {}, watermark_ns=self.now_ms * MS)
            self.telling.take_sealed(self.aggregate.seal())

    @property
    def offered(self) -> float:
        """Return how many notices wait."""
        return self.metrics.shown["webhook_queue_notices", "chat"]

    def waiting(self) -> list[Notice]:
        """Return what waits."""
        self.telling.hand_over()
        (file,) = self._folder.glob(".webhooks/night/chat.json")
        rows = json.loads(file.read_bytes())["waiting"]
        return [msgspec.convert(row, Notice) for row in rows]
