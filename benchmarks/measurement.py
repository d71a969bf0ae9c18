"""What one run of one tool cost, and what every tool has in common."""

from dataclasses import dataclass
from typing import Protocol, Self

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
        tls_port: its TLS port.
        ca_file: path of what to trust.
        server: engine and version.
    """

    host: str
    port: int
    tls_port: int
    ca_file: str
    server: str

    def port_for(self, *, tls: bool) -> int:
        """Return the port of a transport."""
        return self.tls_port if tls else self.port


@dataclass(frozen=True, slots=True)
class Measurement:
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
    def cpu_us_per_op(self) -> float:
        """CPU time of one operation in microseconds."""
        return self.cpu_seconds * 1e6 / self.ops


class Tool(Protocol):
    """Run a closed loop of GET and SET in equal parts, one outstanding a worker."""

    def __call__(
        self, target: Target, *, tls: bool, workers: int, seconds: float
    ) -> Measurement:
        """Measure for about ``seconds``, start-up not counted.

        Raises:
            BenchmarkError: the tool failed, or an operation did.
        """
