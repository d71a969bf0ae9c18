"""The configuration directives of a cluster's servers.

Pure: values only. Ports, folder and socket are the node's own (``node``).
"""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from loadprobe.local.cluster.certificates import CertificateSet

Setting = str | tuple[str, ...]
Settings = dict[str, Setting]
TlsMode = Literal["none", "preferred", "required"]

TLS_MODES: tuple[TlsMode, ...] = ("none", "preferred", "required")
_COMMON: Settings = {
    "save": "",
    "appendonly": "no",
    "repl-diskless-sync-delay": "0",
    # CLUSTER SLOTS leaves out replicas with offset 0; a ping makes it move.
    "repl-ping-replica-period": "1",
}
# As ElastiCache documents its defaults; stock servers cover fully by default.
_CLUSTER: Settings = {
    "cluster-enabled": "yes",
    "cluster-require-full-coverage": "no",
    "cluster-allow-reads-when-down": "no",
    "cluster-allow-replica-migration": "no",
}


@dataclass(frozen=True, slots=True)
class LocalAccess:
    """Who may log in.

    Args:
        passwords: those that are valid, oldest first; two at most.
        is_open: no password is needed (any is taken for the default user then).
    """

    passwords: tuple[str, ...] = field(default=(), repr=False)
    is_open: bool = True

    @classmethod
    def by(cls, password: str | None) -> "LocalAccess":
        """Return the access by one password, or the open one."""
        return cls() if password is None else cls((password,), is_open=False)

    @property
    def newest(self) -> str | None:
        """The password to log in with, if there is one."""
        return self.passwords[-1] if self.passwords else None

    @property
    def rules(self) -> tuple[str, ...]:
        """ACL rules of the default user; passwords appear as SHA-256 digests only."""
        if self.is_open:
            return ("on", "nopass", "~*", "&*", "+@all")
        digests = (f"#{_digest(password)}" for password in self.passwords)
        return ("on", "resetpass", *digests, "~*", "&*", "+@all")


def base_settings(*, cluster_mode: bool, node_timeout_ms: int) -> Settings:
    """Return what holds whatever the TLS mode and the access are."""
    if not cluster_mode:
        return dict(_COMMON)
    return _COMMON | _CLUSTER | {"cluster-node-timeout": str(node_timeout_ms)}


def certificate_settings(files: CertificateSet, *, mutual_tls: bool) -> Settings:
    """Return what a server needs to turn TLS on without a restart."""
    return {
        "tls-ca-cert-file": str(files.ca),
        "tls-cert-file": str(files.server.certificate),
        "tls-key-file": str(files.server.key),
        "tls-auth-clients": "yes" if mutual_tls else "no",
    }


def transport_settings(*, tls: bool, cluster_mode: bool) -> dict[str, str]:
    """Return how servers with TLS talk among themselves."""
    value = "yes" if tls else "no"
    peers = {"tls-replication": value}
    return peers | {"tls-cluster": value} if cluster_mode else peers


def access_settings(access: LocalAccess) -> Settings:
    """Return what lets clients and replicas log in."""
    users = {} if access.is_open else {"user": ("default", *access.rules)}
    return {**users, **replica_login(access)}


def replica_login(access: LocalAccess) -> dict[str, str]:
    """Return how a replica logs in to its primary.

    With the user's name: a server whose default user needs no password refuses AUTH
    with a password alone (redis 7.0.15, observed), and takes it with a name.
    """
    if access.newest is None:
        return {}
    return {"masteruser": "default", "masterauth": access.newest}


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest()
