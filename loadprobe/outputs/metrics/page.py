"""The page ``/metrics``: a registry of ``prometheus_client``, written out by a thread.

The library writes both formats. Which one is served is chosen by what the other page
goes by as well: the library knows no weights, and fails at versions it cannot read.

Every name on the page is of letters, digits and underscores, which no scheme of
escaping changes. By the one that OpenMetrics 1.0 implies the library looks at each
letter of each name, a quarter of the time of a page; by ``allow-utf-8`` it does not.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from loadprobe.outputs.metrics.exposition import Format, choose_format


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


def make_encoder(form: Format) -> tuple[Callable[[Collector], bytes], str]:
    """Return what writes a page in a format, and the content type it has."""
    encode, content_type = choose_encoder(form.value)
    if form is Format.OPENMETRICS:
        encode = partial(openmetrics.generate_latest, escaping=openmetrics.ALLOWUTF8)
    return encode, content_type


def make_renderer(
    registry: CollectorRegistry,
) -> Callable[[str], Coroutine[None, None, tuple[bytes, str]]]:
    """Return a function from an Accept header to (body, content type).

    Pages are written one after the other: each thread that writes one makes the loop
    wait for a few milliseconds whenever it has something to do.
    """
    turn = asyncio.Lock()

    async def render(accept: str) -> tuple[bytes, str]:
        encode, content_type = make_encoder(choose_format(accept))
        async with turn:
            return await asyncio.to_thread(encode, registry), content_type

    return render
