"""What was seen of the ways to the nodes: a NAT, a tunnel. Pure."""

from loadprobe.core.events.fact import Fact


class NodeUnreached(Fact, frozen=True, tag="reach/node_unreached"):
    """A node is announced, and cannot be reached from here.

    Args:
        node: its address, as it is announced.
        shard: the shard that it serves, "" if it is not a primary.
        reason: what stands against it, with what to do.
        known_ms: for how long it has been announced.
    """

    node: str
    shard: str
    reason: str
    known_ms: float


class NodeReached(Fact, frozen=True, tag="reach/node_reached"):
    """A node that could not be reached is reached, or is not announced any more.

    Args:
        node: its address, as it is announced.
        is_gone: it is not announced any more.
    """

    node: str
    is_gone: bool


class TunnelOpened(Fact, frozen=True, tag="tunnel/opened"):
    """The tunnel is open again, with all forwards it had.

    Args:
        to: where it leads.
        broken_ms: how long it was broken.
    """

    to: str
    broken_ms: float


class TunnelBroken(Fact, frozen=True, tag="tunnel/broken"):
    """The tunnel broke: nothing can be reached until it is open again.

    Args:
        to: where it leads.
        reason: what ssh said.
        silent_ms: how long before this no node had answered through it: it broke
            within that time.
    """

    to: str
    reason: str
    silent_ms: float


class TunnelStalled(Fact, frozen=True, tag="tunnel/stalled"):
    """The other end of the tunnel does not answer, and the tunnel is not broken (yet).

    Args:
        to: where it leads.
        silent_ms: since when nothing that its echo was asked has come back.
    """

    to: str
    silent_ms: float


class TunnelAnswered(Fact, frozen=True, tag="tunnel/answered"):
    """The other end of a tunnel that had stalled answers again.

    Args:
        to: where it leads.
        stalled_ms: how long it did not.
    """

    to: str
    stalled_ms: float


class NodeForwarded(Fact, frozen=True, tag="tunnel/forwarded"):
    """The tunnel has a forward to a node that came.

    Args:
        node: its address, as it is announced.
        shard: the shard that it served by then, "" if it was no primary.
        local_port: on loopback.
        waited_ms: since when the node had been seen.
    """

    node: str
    shard: str
    local_port: int
    waited_ms: float


class ForwardRefused(Fact, frozen=True, tag="tunnel/forward_refused"):
    """The tunnel cannot have a forward to a node, or the other end does not allow it.

    Args:
        node: its address, as it is announced; "" if it is not known which.
        reason: what ssh said.
    """

    node: str
    reason: str
