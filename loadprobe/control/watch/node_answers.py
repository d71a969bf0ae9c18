"""What a node answers that is asked about itself, and what is no answer.

Pure. Rule: everything that the network, TLS or the server can do is a NodeSilent with a
short reason. A reply that is no answer to what was asked is what a server can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from loadprobe.core.topology.server_side import PRIMARY, REPLICA, ServerAnswer
from loadprobe.core.topology.topology import (
    NodesView,
    SlotsView,
    parse_nodes,
    parse_slots,
)

_MOST_REASON = 300
_MOST_STATE = 20


class NodeSilent(Exception):
    """A node gave no answer that can be used; the text is the reason."""


class NodeDenied(NodeSilent):
    """A node answered, and it is no use to ask it again soon."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node's answers, raw.

    Args:
        slots: reply of CLUSTER SLOTS, undecoded.
        nodes: reply of CLUSTER NODES.
        info: members of CLUSTER INFO, such as cluster_state.
    """

    slots: list[Any]
    nodes: bytes
    info: Mapping[str, str]

    def read(self, asked_host: str) -> "ReadView":
        """Return what it tells.

        Args:
            asked_host: where it was asked, for nodes that are told without a host.

        Raises:
            NodeSilent: it is no view.
        """
        try:
            state = self.info.get("cluster_state", "fail")[:_MOST_STATE]
            epoch = int(self.info.get("cluster_current_epoch", "0"))
            slots = parse_slots(self.slots, asked_host=asked_host)
            return ReadView(state, epoch, (slots, parse_nodes(self.nodes)))
        except ValueError as exc:
            raise NodeSilent(reason(exc)) from exc


class ReadView(NamedTuple):
    """What a view tells: the state of the cluster, its epoch, and its nodes."""

    state: str
    epoch: int
    nodes: tuple[SlotsView, NodesView]


def refusal(text: str) -> NodeSilent:
    """Return what a failure means, by what the system or the server said."""
    kind = NodeDenied if text.startswith("NOPERM") else NodeSilent
    return kind(_short(text))


def as_slots(reply: object) -> list[Any]:
    """Return a reply to CLUSTER SLOTS.

    Raises:
        NodeSilent: it is none.
    """
    if not isinstance(reply, list):
        raise NodeSilent("its answer to CLUSTER SLOTS is no list")
    return reply


def as_text(reply: object, *words: bytes) -> bytes:
    """Return a reply to what is answered with a text.

    Raises:
        NodeSilent: it is none.
    """
    if not isinstance(reply, bytes):
        raise NodeSilent(f"its answer to {b' '.join(words).decode()} is no text")
    return reply


def reason(exc: Exception) -> str:
    """Return what a server or the system says, as short as it has to be."""
    return f"{type(exc).__name__}: {_short(str(exc))}"


def _short(text: str) -> str:
    rest = "..." if len(text) > _MOST_REASON else ""
    return f"{text[:_MOST_REASON]}{rest}"


def parse_server_side(text: bytes, at_ns: int) -> ServerAnswer:
    """Return what a reply to INFO tells.

    Old servers do not tell ``maxclients``.

    Args:
        text: the reply.
        at_ns: when it came, monotonic.

    Raises:
        NodeDenied: the rest is not told, or is no number.
    """
    info = read_info(text)
    try:
        is_primary = info["role"] == "master"
        offset = info["master_repl_offset" if is_primary else "slave_repl_offset"]
        cpu_s = float(info["used_cpu_sys"]) + float(info["used_cpu_user"])
        return ServerAnswer(
            at_ns=at_ns,
            role=PRIMARY if is_primary else REPLICA,
            ops=int(info["total_commands_processed"]),
            cpu_ms=round(cpu_s * 1000),
            clients=int(info["connected_clients"]),
            max_clients=int(info["maxclients"]) if "maxclients" in info else None,
            ops_per_s=int(info["instantaneous_ops_per_sec"]),
            memory_bytes=int(info["used_memory"]),
            offset=int(offset),
            is_linked=None if is_primary else info.get("master_link_status") == "up",
        )
    except (KeyError, ValueError, OverflowError) as exc:
        raise NodeDenied(f"INFO does not tell {exc}") from exc


def read_info(text: bytes) -> dict[str, str]:
    """Parse the "name:value" lines of CLUSTER INFO and INFO."""
    lines = text.decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}
