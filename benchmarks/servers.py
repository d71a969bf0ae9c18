"""Masters in a process of their own, so that starting them costs no client."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.measurement import BenchmarkError, Target
from loadprobe.local.cluster.cluster import LocalCluster

_SHARDS = 3
_END_TIMEOUT_S = 10.0


@contextmanager
def serving(*, shards: int = _SHARDS) -> Iterator[Target]:
    """Start the servers, and end them on every way out.

    Args:
        shards: number of masters, by TCP and TLS at once.

    Raises:
        BenchmarkError: they did not come up.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.servers", str(shards)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise BenchmarkError("starting the servers: they ended; see above")
        yield msgspec.json.decode(line, type=Target)
    finally:
        process.stdin.close()
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


async def _serve(shards: int) -> None:
    async with LocalCluster(shards=shards, replicas_per_shard=0, tls=True) as cluster:
        assert cluster.tls_port is not None
        assert cluster.ca_file is not None
        target = Target(
            cluster.host,
            cluster.port,
            cluster.tls_port,
            str(cluster.ca_file),
            f"{cluster.server.engine} {cluster.server.version}",
            os.getpid(),
        )
        line = msgspec.json.encode(target) + b"\n"
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        await asyncio.to_thread(sys.stdin.buffer.read)  # until the parent closes it


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
