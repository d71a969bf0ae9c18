"""Clients of nodes that are kept while the ways to nodes, and logins, change."""

from loadprobe.config.keys import Target, Tunnel
from loadprobe.control.watch.node_views import NodeLogin


async def test_a_client_of_a_node_that_gets_a_way_is_opened_anew() -> None:
    """One that was opened before nothing led there would never answer."""
    target = Target("cfg", tunnel=Tunnel("bastion"))
    login = NodeLogin(target, tls=False, timeout_s=1.0)
    client = login.open_node("10.0.0.1", 6379)
    try:
        assert login.is_as_now(client)
        target.address_map["10.0.0.2:6379"] = "127.0.0.1:5000"
        assert login.is_as_now(client), "another node's way is no matter"
        target.address_map["10.0.0.1:6379"] = "127.0.0.1:5001"
        assert not login.is_as_now(client)
    finally:
        await client.close()
    again = login.open_node("10.0.0.1", 6379)
    assert login.is_as_now(again)
    login.use_login("app", "another")
    assert not login.is_as_now(again)
    await again.close()
