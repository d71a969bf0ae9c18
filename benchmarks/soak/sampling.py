"""What the program holds, second by second: memory, files, threads, its folder."""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.processes import tree_of
from loadprobe.clock import NS_PER_S, mono_now_ns

_EVERY_S = 1.0
_PAGE_TIMEOUT_S = 10.0
_PAGE_BYTES = 4096
_TASKS = r"^loadprobe_tasks\{.*\} (\S+)$"


class Sample(msgspec.Struct, frozen=True):
    """One second.

    Args:
        at_s: seconds since load began.
        rss_bytes: resident memory of all processes.
        supervisor_rss_bytes: of the one that judges.
        fds: open file descriptors of all processes.
        threads: of all processes.
        processes: how many there are.
        folder_bytes: of the run folder, as it is on the disk.
        scrape_ms: how long the page with metrics took; None if it did not come.
        tasks: of the event loops of all processes, as the page says.
    """

    at_s: float
    rss_bytes: int
    supervisor_rss_bytes: int
    fds: int
    threads: int
    processes: int
    folder_bytes: int
    scrape_ms: float | None
    tasks: int | None = None


async def sample_for_ever(
    pid: int, folder: Path, url: str, samples: list[Sample]
) -> None:
    """Take a sample and scrape both pages, once a second."""
    timeout = aiohttp.ClientTimeout(total=_PAGE_TIMEOUT_S)
    start_ns = mono_now_ns()
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            now_s = (mono_now_ns() - start_ns) / NS_PER_S
            scrape_ms, tasks = await _scrape(session, url)
            sample = await asyncio.to_thread(_sample, now_s, pid, folder, scrape_ms)
            samples.append(msgspec.structs.replace(sample, tasks=tasks))
            ended_s = (mono_now_ns() - start_ns) / NS_PER_S
            await asyncio.sleep(max(0.0, now_s + _EVERY_S - ended_s))


async def _scrape(
    session: aiohttp.ClientSession, url: str
) -> tuple[float | None, int | None]:
    """Return how long both pages took, and the number of tasks on the first."""
    begun_ns = mono_now_ns()
    texts: list[str] = []
    try:
        for page in ("/metrics", "/metrics/ms"):
            async with session.get(url + page) as reply:
                texts.append(await reply.text())
                if reply.status != 200:
                    return None, None
    except (aiohttp.ClientError, TimeoutError):
        return None, None
    took_ms = (mono_now_ns() - begun_ns) / 1e6
    tasks = re.findall(_TASKS, texts[0], re.MULTILINE)
    return took_ms, round(sum(map(float, tasks))) if tasks else None


def _sample(at_s: float, pid: int, folder: Path, scrape_ms: float | None) -> Sample:
    rss: list[int] = []
    fds = threads = 0
    for each in tree_of(pid):
        own = Path(f"/proc/{each}")
        try:
            rss.append(int((own / "statm").read_text().split()[1]) * _PAGE_BYTES)
            fds += len(list((own / "fd").iterdir()))
            threads += len(list((own / "task").iterdir()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in between
    return Sample(
        at_s,
        sum(rss),
        rss[0] if rss else 0,
        fds,
        threads,
        len(rss),
        sum(_sizes(folder)),
        scrape_ms,
    )


def _sizes(folder: Path) -> Iterator[int]:
    # What is made smaller, or gets its name, just now is left out: files and folders.
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.stat(os.path.join(place, name)).st_size  # noqa: PTH116, PTH118
