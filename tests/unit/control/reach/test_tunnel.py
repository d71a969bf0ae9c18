"""What a tunnel asks of its connection."""

from collections.abc import AsyncIterator, Sequence

import pytest

from loadprobe.config.keys import Tunnel
from loadprobe.control.reach.tunnel import SshTunnel
from loadprobe.core.events import Event, ForwardRefused


@pytest.fixture
async def tunnel() -> AsyncIterator[SshTunnel]:
    """Make a tunnel that is not open; what it wants to be forwarded is kept."""
    it = SshTunnel(Tunnel("bastion"), {})
    yield it
    await it.close()


async def test_what_a_cluster_announces_is_no_socket(
    tunnel: SshTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ssh it would lead to a socket file of the other end: it has no forward."""
    asked: list[str] = []
    events: list[Event] = []

    async def forward(specs: Sequence[str]) -> None:
        asked.extend(specs)

    monkeypatch.setattr(tunnel._connection, "forward", forward)
    tunnel.emit = events.append
    strange = [
        ("/run/docker.sock\0", 6379),
        ("/run/docker.sock", 6379),
        ("run\\", 6379),
        ("x]:22:[y", 6379),
        ("a b", 6379),
    ]
    good = [("10.0.0.1", 6379), ("node-1.example.com", 6379), ("fd00::1", 6379)]
    assert await tunnel.forward([*strange, *good]) == strange
    assert [spec.split(":", 2)[2] for spec in asked] == [
        "10.0.0.1:6379",
        "node-1.example.com:6379",
        "[fd00::1]:6379",
    ]
    assert all(tunnel.port_of(address) is None for address in strange)
    refused = [event.reason for event in events if isinstance(event, ForwardRefused)]
    assert refused == ["it is no address"] * len(strange)
