"""The catalogue as a collector: read in the loop, written out by any thread."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from loadprobe.core.judging.histogram import Histogram
from loadprobe.outputs.metrics.catalogue import CATALOGUE
from loadprobe.outputs.metrics.collector import CatalogueCollector
from loadprobe.outputs.metrics.page import make_registry, make_renderer
from loadprobe.outputs.metrics.snapshot import Labels, MetricsSnapshot


@dataclass(slots=True)
class Noting:
    """A source that notes which threads read it."""

    shards: int = 6
    lag: Histogram = field(default_factory=Histogram)
    readers: list[int] = field(default_factory=list)

    def snapshot(self) -> MetricsSnapshot:
        """Return one value and one histogram."""
        self.readers.append(threading.get_ident())
        lag: dict[Labels, Histogram] = {("0",): self.lag}
        shards: dict[Labels, float] = {(): self.shards}
        return MetricsSnapshot(
            "c", {"cluster_shards": shards}, {"loop_lag_seconds": lag}
        )


class Counting(Collector):
    """A collector that notes how many threads collect from it at once."""

    def __init__(self) -> None:
        self.at_once = 0
        self.most_at_once = 0
        self.collections = 0

    def collect(self) -> Iterator[Family]:
        """Take some time over nothing."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        threading.Event().wait(0.02)
        self.at_once -= 1
        self.collections += 1
        yield from ()


async def test_values_are_read_in_the_loop() -> None:
    """Whichever thread collects, only that of the loop reads what the loop changes."""
    source = Noting()
    loop = asyncio.get_running_loop()
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(source, loop=loop))
    page = await asyncio.to_thread(generate_latest, registry)
    assert b'loadprobe_cluster_shards{cluster="c"} 6.0\n' in page
    assert generate_latest(registry) == page
    assert set(source.readers) == {threading.get_ident()}


def test_a_loop_that_has_ended() -> None:
    """After the run nothing changes any more: its values can be read anywhere."""
    source = Noting()

    async def make() -> CatalogueCollector:
        return CatalogueCollector(source, loop=asyncio.get_running_loop())

    collector = asyncio.run(make())
    assert [family.name for family in collector.collect()] == [
        "loadprobe_loop_lag_seconds",
        "loadprobe_cluster_shards",
    ]


def test_a_registry_of_someone_else() -> None:
    """To be registered nothing has to be read, and names are taken only once."""
    source = Noting()
    registry = CollectorRegistry(auto_describe=True)
    registry.register(CatalogueCollector(source))
    assert source.readers == []
    with pytest.raises(ValueError, match="loadprobe_cluster_shards"):
        registry.register(CatalogueCollector(Noting()))
    alone = registry.restricted_registry(["loadprobe_cluster_shards"])
    assert [family.name for family in alone.collect()] == ["loadprobe_cluster_shards"]


async def test_the_process_stands_beside_the_run() -> None:
    """The page has the families of every Python process, which are of no cluster."""
    registry = make_registry(CatalogueCollector(Noting()))
    page, _ = await make_renderer(registry)("")
    found = {family.name: family for family in registry.collect()}
    names = {metric.full_name.removesuffix("_total") for metric in CATALOGUE}
    assert set(found) - names == {
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_cpu_seconds",
        "process_open_fds",
        "process_max_fds",
        "python_info",
        "python_gc_objects_collected",
        "python_gc_objects_uncollectable",
        "python_gc_collections",
    }
    assert b"\nprocess_cpu_seconds_total " in page
    assert b"_created" not in page


async def test_pages_are_written_one_after_the_other() -> None:
    """However many ask at once, one thread at a time competes with the loop."""
    registry = CollectorRegistry()
    counting = Counting()
    registry.register(counting)
    render = make_renderer(registry)
    await asyncio.gather(*(render("") for _ in range(4)))
    assert counting.collections == 4
    assert counting.most_at_once == 1
