"""What one run of one tool cost, and what every tool has in common."""

from dataclasses import dataclass
from typing import Protocol, Self

import msgspec

from loadprobe.config import keys as config

WORKERS = 200
VALUE_BYTES = 32
KEYS = 10_000


class BenchmarkError(Exception):
    """A tool did not do what was to be measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """The servers, as the clients see them.

    Args:
        host: address of one node.
        port: its TCP port.
        tls_port: its TLS port; None if there is none.
        ca_file: path of what to trust, or None.
        server: engine and version.
        pid: the process that has all servers as its children.
    """

    host: str
    port: int
    tls_port: int | None
    ca_file: str | None
    server: str
    pid: int

    def port_for(self, *, tls: bool) -> int:
        """Return the port of a transport."""
        if not tls:
            return self.port
        if self.tls_port is None:
            raise BenchmarkError(f"{self.server} has no TLS port")
        return self.tls_port

    def as_config(self) -> config.Target:
        """Return it as loadprobe wants it."""
        return config.Target(
            host=self.host,
            port=self.port,
            tls_port=self.tls_port,
            ca_file=self.ca_file,
        )


@dataclass(frozen=True, slots=True)
class Case:
    """A closed loop of GET and SET in equal parts.

    Args:
        tls: by TLS.
        workers: how many.
        value_bytes: size of the values.
        pipeline: operations that each worker has outstanding.
    """

    tls: bool = False
    workers: int = WORKERS
    value_bytes: int = VALUE_BYTES
    pipeline: int = 1

    @property
    def label(self) -> str:
        """Return a name for people."""
        size = (
            f"{self.value_bytes // 1024} KiB"
            if self.value_bytes >= 1024
            else f"{self.value_bytes} B"
        )
        transport = "TLS" if self.tls else "TCP"
        depth = f" x {self.pipeline}" if self.pipeline > 1 else ""
        return f"{transport}, {self.workers} workers{depth}, {size}"


class Measurement(msgspec.Struct, frozen=True):
    """One run.

    Args:
        ops: commands that were answered rightly.
        seconds: how long that took.
        cpu_seconds: CPU time of the client's processes, user and system.
    """

    ops: int
    seconds: float
    cpu_seconds: float

    def __sub__(self, startup: Self) -> "Measurement":
        return Measurement(
            self.ops - startup.ops,
            self.seconds - startup.seconds,
            self.cpu_seconds - startup.cpu_seconds,
        )

    @property
    def ops_per_s(self) -> float:
        """Throughput."""
        return self.ops / self.seconds

    @property
    def ops_per_cpu_s(self) -> float:
        """Operations for a second of CPU time."""
        return self.ops / self.cpu_seconds

    @property
    def cpu_us_per_op(self) -> float:
        """CPU time of one operation in microseconds."""
        return self.cpu_seconds * 1e6 / self.ops

    def __str__(self) -> str:
        return f"{self.ops_per_s:,.0f} ops/s, {self.cpu_us_per_op:.2f} us CPU/op"


class Tool(Protocol):
    """Run a closed loop."""

    def __call__(self, target: Target, case: Case, *, seconds: float) -> Measurement:
        """Measure for about ``seconds``, start-up not counted.

        Raises:
            BenchmarkError: the tool failed, or an operation did.
        """


def less_startup(long: Measurement, short: Measurement) -> Measurement:
    """Return a long run less a short one: both have the same start-up.

    Raises:
        BenchmarkError: nothing is left; the machine was too busy.
    """
    left = long - short
    if min(left.ops, left.seconds, left.cpu_seconds) <= 0:
        raise BenchmarkError(
            f"start-up cannot be subtracted: a run of {short.ops:,} operations took "
            f"{short.cpu_seconds:.2f} s CPU, one of {long.ops:,} took "
            f"{long.cpu_seconds:.2f} s; repeat on a quieter machine"
        )
    return left
