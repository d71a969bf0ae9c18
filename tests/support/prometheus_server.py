"""A real Prometheus for tests, and what it can be asked."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NEEDS_PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not on PATH; make prometheus installs it",
)

Labels = tuple[str, ...]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that runs."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        async with self.session.get(
            f"{self.url}/api/v1/query", params={"query": query}
        ) as reply:
            answer = await reply.json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    async def values(self, query: str, *labels: str) -> dict[Labels, float]:
        """Return the values of an instant query by some of the labels."""
        return {
            tuple(row["metric"][label] for label in labels): float(row["value"][1])
            for row in await self.ask(query)
        }

    async def until(self, query: str, *, within_s: float = 20.0) -> None:
        """Wait until a query has a result."""
        async with asyncio.timeout(within_s):
            while True:
                with suppress(aiohttp.ClientError):
                    if await self.ask(query):
                        return
                await asyncio.sleep(0.1)

    async def until_ready(self, *, within_s: float = 20.0) -> None:
        """Wait until it takes requests."""
        async with asyncio.timeout(within_s):
            while True:
                with suppress(aiohttp.ClientError):
                    async with self.session.get(f"{self.url}/-/ready") as reply:
                        if reply.status == 200:
                            return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def prometheus(
    folder: Path, config: str, *options: str
) -> AsyncIterator[Prometheus]:
    """Run Prometheus on a port of its own.

    Args:
        folder: for its data; must be there.
        config: its configuration, as YAML.
        options: of its command line.
    """
    path = folder / "prometheus.yml"
    path.write_text(config)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        *options,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(f"http://127.0.0.1:{port}", session)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
