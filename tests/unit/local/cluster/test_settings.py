"""What servers are configured with."""

from loadprobe.local.cluster.settings import (
    LocalAccess,
    access_settings,
    transport_settings,
)


def test_configuration_holds_digests_for_clients() -> None:
    """Clients' passwords are digests; only the newest stands in clear, for replicas."""
    access = LocalAccess(("older", "newer"), is_open=False)
    settings = access_settings(access)
    assert settings["masterauth"] == "newer"
    rules = " ".join(settings["user"])
    assert "older" not in rules
    assert "newer" not in rules
    assert rules.count("#") == 2


def test_an_open_server_needs_no_user() -> None:
    """Without a password nothing is configured; with a rotated one replicas use it."""
    assert access_settings(LocalAccess.by(None)) == {}
    rotated = access_settings(LocalAccess(("new",), is_open=True))
    assert rotated == {"masteruser": "default", "masterauth": "new"}


def test_only_clusters_have_a_bus() -> None:
    """The bus setting is left out with cluster mode off."""
    assert transport_settings(tls=True, cluster_mode=False) == {
        "tls-replication": "yes"
    }
    assert transport_settings(tls=False, cluster_mode=True) == {
        "tls-replication": "no",
        "tls-cluster": "no",
    }
