"""The page ``/metrics``: a registry of ``prometheus_client``, written out by a thread.

The library writes both formats. Which one is served is chosen by what the other page
goes by as well: the library knows no weights, and fails at versions it cannot read.
"""

import asyncio
from collections.abc import Callable, Coroutine

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from loadprobe.outputs.metrics.exposition import choose_format


def make_registry(run: Collector) -> CollectorRegistry:
    """Return a registry of a run and of the process it is made in.

    Args:
        run: see ``outputs.metrics.collector``.
    """
    registry = CollectorRegistry()
    registry.register(run)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def make_renderer(
    registry: CollectorRegistry,
) -> Callable[[str], Coroutine[None, None, tuple[bytes, str]]]:
    """Return a function from an Accept header to (body, content type).

    Pages are written one after the other: each thread that writes one makes the loop
    wait for a few milliseconds whenever it has something to do.
    """
    turn = asyncio.Lock()

    async def render(accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(choose_format(accept).value)
        async with turn:
            return await asyncio.to_thread(encode, registry), content_type

    return render
