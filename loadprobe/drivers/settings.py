"""What a lane asks of its driver, in one value."""

from dataclasses import dataclass
from typing import Literal

from loadprobe.config.keys import Target
from loadprobe.core.topology.topology import Topology

ReadFrom = Literal["primary", "replica", "any"]
Sending = Literal["open", "closed", "shared"]


MOST_VALUE_BYTES = 1_048_576
"""The longest ``value_bytes`` of a lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings:
    """How the arrivals of a lane are to be sent.

    Args:
        target: where to.
        tls: connect by TLS.
        workers: connections per shard; of a client library, tasks that use it.
        max_in_flight: arrivals a connection may have outstanding (open loop), or that
            may stand in line for a worker of a client library.
        sending: "open": each arrival goes out on its worker's connection, whatever is
            outstanding. Of a closed loop: "closed" uses connections that are idle, on
            "shared" ones more arrivals than connections are outstanding.
        known: the topology before a restart in mid-run. Nothing is waited for then:
            what cannot be connected to is to be measured.
        cut_over: number of the last cut-over to another cluster, 0 if there was none.
        gently: open the first connections at the pace of later ones.
        read_from: which nodes take reads (wire driver).
        clients: client objects that the workers share (client libraries).
        value_bytes: the longest value that a key can have (wire driver).
    """

    target: Target
    tls: bool = False
    workers: int
    max_in_flight: int
    sending: Sending = "open"
    known: Topology | None = None
    cut_over: int = 0
    gently: bool = False
    read_from: ReadFrom = "primary"
    clients: int = 1
    value_bytes: int = MOST_VALUE_BYTES

    @property
    def endpoint(self) -> tuple[str, int]:
        """Return host and port where the topology is learnt first."""
        return self.target.host, self.target.port_of(tls=self.tls)
