"""What servers tell of their work, as they write it."""

import pytest

from loadprobe.control.watch.node_views import NodeSilent, parse_load, read_info
from loadprobe.core.load.occupancy import ServerLoad

CLIENTS = b"# Clients\r\nconnected_clients:7\r\n"
STATS = b"# Stats\r\ntotal_commands_processed:90\r\ninstantaneous_ops_per_sec:12\r\n"


def test_connections_and_operations() -> None:
    """Both are told; the number of connections it takes only by newer servers."""
    newer = CLIENTS + b"maxclients:10000\r\n" + STATS
    assert parse_load(read_info(newer)) == ServerLoad(7, 10_000, 12)
    assert parse_load(read_info(CLIENTS + STATS)) == ServerLoad(7, None, 12)


@pytest.mark.parametrize("text", [b"", CLIENTS, STATS, CLIENTS.replace(b"7", b"x")])
def test_what_does_not_tell(text: bytes) -> None:
    """A node that leaves something out, or tells no number, tells nothing."""
    with pytest.raises(NodeSilent, match="do not tell"):
        parse_load(read_info(text))
