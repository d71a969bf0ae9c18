"""redis-py's asyncio RedisCluster in a child process, every reply verified.

As an application would set it up well: hiredis, enough connections, and one TLS context
for all of them (the library makes one per connection, at 30 ms each). Once on asyncio's
own event loop, as it comes, and once on uvloop.
"""

import asyncio
import ssl
import sys

import msgspec
import uvloop
from redis.asyncio import connection
from redis.asyncio.cluster import RedisCluster

from benchmarks.child import ask_child
from benchmarks.measurement import (
    KEYS,
    BenchmarkError,
    Case,
    Measurement,
    Target,
)
from loadprobe.clock import NS_PER_S, mono_now_ns, process_cpu_ns

_WARM_UP_S = 1.5
_SPARE_CONNECTIONS = 50
_SPARE_S = 30.0


class _Order(msgspec.Struct, frozen=True):
    host: str
    port: int
    ca_file: str | None
    workers: int
    value_bytes: int
    seconds: float
    on_uvloop: bool


def measure(target: Target, case: Case, *, seconds: float) -> Measurement:
    """Measure between the end of the warm-up and the end of the load; see ``Tool``."""
    return _measure(target, case, seconds=seconds, on_uvloop=False)


def measure_on_uvloop(target: Target, case: Case, *, seconds: float) -> Measurement:
    """Do as ``measure`` does, on uvloop."""
    return _measure(target, case, seconds=seconds, on_uvloop=True)


def _measure(
    target: Target, case: Case, *, seconds: float, on_uvloop: bool
) -> Measurement:
    order = _Order(
        target.host,
        target.port_for(tls=case.tls),
        target.ca_file if case.tls else None,
        case.workers,
        case.value_bytes,
        seconds,
        on_uvloop,
    )
    timeout_s = _WARM_UP_S + seconds + _SPARE_S
    return ask_child("benchmarks.redis_py", order, Measurement, timeout_s=timeout_s)


class _Loop:
    """Workers that GET and SET in turn.

    Args:
        client: shared by all workers.
        workers: how many; each has keys of its own.
        value_bytes: size of the values.
    """

    def __init__(self, client: RedisCluster, *, workers: int, value_bytes: int) -> None:
        self._client = client
        self._workers = workers
        self._value_bytes = value_bytes
        self._stopping = False
        self._ops = 0

    async def measure(self, seconds: float) -> Measurement:
        """Warm up, measure, stop."""
        async with asyncio.TaskGroup() as group:
            for worker in range(self._workers):
                group.create_task(self._work(worker))
            await asyncio.sleep(_WARM_UP_S)
            ops, wall_ns, cpu_ns = self._ops, mono_now_ns(), process_cpu_ns()
            await asyncio.sleep(seconds)
            measured = Measurement(
                self._ops - ops,
                (mono_now_ns() - wall_ns) / NS_PER_S,
                (process_cpu_ns() - cpu_ns) / NS_PER_S,
            )
            self._stopping = True
        return measured

    async def _work(self, worker: int) -> None:
        keys = [f"key:{worker}:{n}" for n in range(KEYS // self._workers)]
        number = 0
        while not self._stopping:
            key = keys[number % len(keys)]
            value = b"%0*d" % (self._value_bytes, number)
            await self._client.set(key, value)
            read = await self._client.get(key)
            if read != value:
                raise BenchmarkError(f"reading {key}: {read!r}, expected {value!r}")
            self._ops += 2
            number += 1


def _share_context(ca_file: str) -> None:
    shared = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    shared.load_verify_locations(ca_file)

    def get(self: connection.RedisSSLContext) -> ssl.SSLContext:  # noqa: ARG001
        return shared

    connection.RedisSSLContext.get = get  # type: ignore[method-assign]


async def _main(order: _Order) -> Measurement:
    if order.ca_file is not None:
        _share_context(order.ca_file)
    async with RedisCluster(
        host=order.host,
        port=order.port,
        ssl=order.ca_file is not None,
        ssl_ca_certs=order.ca_file,
        max_connections=order.workers + _SPARE_CONNECTIONS,
    ) as client:
        loop = _Loop(client, workers=order.workers, value_bytes=order.value_bytes)
        return await loop.measure(order.seconds)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    factory = uvloop.new_event_loop if given.on_uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(_main(given))
    sys.stdout.buffer.write(msgspec.json.encode(result))
