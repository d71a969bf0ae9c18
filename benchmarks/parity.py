"""Time and memory of ``loadprobe parity`` on two servers with many keys.

Nine keys in ten are strings; the others are hashes, lists, sets and sorted sets, and
one in ten ends by itself. A thousand differences of every kind are planted among them.
Exit status 1 if one of them was not found, or something else was.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from loadprobe.drivers import resp
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from tests.support.planted import Words, planted, sent

_TOGETHER = 5_000
_MIB = 1024 * 1024


def words_of(number: int) -> Iterator[Words]:
    """Yield what makes one of the keys that are the same on both sides."""
    key = f"key:{number:09}"
    match number % 40:
        case 0:
            yield ("HSET", key, "a", number, "b", "x" * 20, "c", "y" * 20)
        case 1:
            yield ("RPUSH", key, number, "x" * 20, "y" * 20)
        case 2:
            yield ("SADD", key, number, "x", "y")
        case 3:
            yield ("ZADD", key, number, "x", "1.5", "y")
        case _:
            yield ("SET", key, f"{number:020}{'v' * 40}")
    if number % 10 == 9:
        yield ("EXPIRE", key, 86_400)


def encoded(words: Words) -> bytes:
    """Return a command."""
    return resp.encode(*(str(word).encode() for word in sent(words)))


async def fill(place: tuple[str, int], commands: Iterator[Words]) -> None:
    """Send commands to a server, many at a time; replies are not asked for."""
    reader, writer = await asyncio.open_connection(*place)
    writer.write(resp.encode(b"CLIENT", b"REPLY", b"OFF"))
    waiting: list[bytes] = []
    for words in commands:
        waiting.append(encoded(words))
        if len(waiting) == _TOGETHER:
            writer.write(b"".join(waiting))
            waiting.clear()
            await writer.drain()
    writer.write(b"".join(waiting) + resp.encode(b"CLIENT", b"REPLY", b"ON"))
    if await reader.readline() != resp.OK_REPLY:
        raise RuntimeError(f"{place} did not take what was sent")
    writer.close()


async def copy(one: LocalNode, other: LocalNode) -> None:
    """Make the data of a server those of another one, by replication."""
    await other.command("REPLICAOF", one.host, one.ports.plain)
    while (await other.info("replication"))["master_link_status"] != "up":
        await asyncio.sleep(0.5)
    await other.command("REPLICAOF", "NO", "ONE")


def rss_bytes(pid: int) -> int:
    """Return the memory of a process, 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line for line in fields if line.startswith("VmRSS:")]
    return int(found[0].split()[1]) * 1024 if found else 0


def cpu_of_children_s() -> float:
    """Return the CPU time of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(slots=True)
class Watched:
    """A command that has ended.

    Attributes:
        seconds: how long it took.
        cpu_s: CPU time of its process.
        code: its exit code.
        document: what it wrote.
        rss: its memory once a second, bytes.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    code: int = 0
    document: dict[str, object] = field(default_factory=dict)
    rss: list[int] = field(default_factory=list)


def watch(words: list[str]) -> Watched:
    """Run a command to its end."""
    found = Watched()
    begun, cpu_s = time.monotonic(), cpu_of_children_s()
    with subprocess.Popen(
        [sys.executable, "-m", "loadprobe", *words], stdout=subprocess.PIPE
    ) as process:
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(1.0):
                found.rss.append(rss_bytes(process.pid))

        looking = threading.Thread(target=look)
        looking.start()
        out, _ = process.communicate()
        found.seconds = time.monotonic() - begun
        is_over.set()
        looking.join()
    found.cpu_s = cpu_of_children_s() - cpu_s
    found.code = process.returncode
    found.document = json.loads(out)
    return found


def tell(found: Watched, keys: int, say: Callable[[str], None]) -> bool:
    """Tell the figures; return whether everything planted was found, and no more."""
    document = found.document
    looked, different = document["keys"], document["different"]
    assert isinstance(looked, dict)
    assert isinstance(different, dict)
    rss = [each for each in found.rss if each]
    tenth = max(1, len(rss) // 10)
    say(
        f"{keys:,} keys on each side: {found.seconds:,.0f} s, {found.cpu_s:,.0f} s of "
        f"them CPU time of the command; {looked}"
    )
    say(
        f"memory, MiB: {max(rss[:tenth]) / _MIB:,.0f} in the first tenth, "
        f"{max(rss) / _MIB:,.0f} at most, {max(rss[-tenth:]) / _MIB:,.0f} in the last"
    )
    counts = {
        kind: row["total"] for kind, row in different.items() if isinstance(row, dict)
    }
    say(f"found: {counts}, changing {document['changing']}")
    return set(counts.values()) == {200} and different["total"] == 1000


async def main(keys: int, rate: int) -> int:
    """Fill two servers, compare, and tell."""
    settings = {"cluster_mode": False, "replicas_per_shard": 0, "tls": False}
    async with (
        LocalCluster(shards=1, name="one", **settings) as one,  # type: ignore[arg-type]
        LocalCluster(shards=1, name="two", **settings) as two,  # type: ignore[arg-type]
    ):
        begun = time.monotonic()
        places = [(cluster.host, cluster.port) for cluster in (one, two)]
        await fill(places[0], (w for number in range(keys) for w in words_of(number)))
        await copy(one.endpoint, two.endpoint)
        for each in planted(200):
            await fill(places[0], iter(each.source))
            await fill(places[1], iter(each.target))
        print(f"filled in {time.monotonic() - begun:,.0f} s", flush=True)
        urls = [f"redis://{c.host}:{c.port}" for c in (one, two)]
        words = ["parity", *urls, "--rate", str(rate), "--json"]
        found = await asyncio.to_thread(watch, words)
    is_right = tell(found, keys, print)
    return 0 if is_right and found.code == 3 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--rate", type=int, default=0)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.keys, given.rate)))
