"""Change the password of a running cluster; connections survive it.

The servers are told digests for clients. Replicas need the password itself, by CONFIG
SET on the administrative connection: no log and no argument list shows it.
"""

from collections.abc import Awaitable, Callable

from loadprobe.errors import RunError, UsageError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.settings import LocalAccess, access_settings, replica_login


async def set_password(cluster: LocalCluster, new: str, *, keep_old: bool) -> None:
    """Make a password valid: beside the newest one until now, or as the only one.

    A cluster without a password stays open with ``keep_old``; clients must log in with
    the user name "default" then, because a server without a password refuses AUTH with
    a password alone (redis 7.0.15, observed).

    Nodes that are down take it over when they start again.

    Args:
        cluster: the cluster.
        new: the password.
        keep_old: keep the newest password until now valid (ROTATE), instead of the new
            one alone (SET).

    Raises:
        UsageError: the password is empty, or data is being migrated.
        RunError: a node refused; the text says what is valid now.
    """
    what = f"changing the password of {cluster.name}"
    if not new:
        raise UsageError(f"{what}: the new password is empty")
    if cluster.source is not None:
        raise UsageError(f"{what}: data is being migrated; complete that first")
    before = cluster.access
    kept = tuple(each for each in before.passwords if each != new)[-1:]
    both = LocalAccess((*kept, new), is_open=before.is_open)

    # The new password is taken everywhere before anyone uses it.
    await _on_each(
        cluster,
        lambda node: _admit(node, both),
        f"{what}: the previous one is still valid, the new one on some nodes only",
    )
    await _on_each(
        cluster,
        lambda node: _use(node, both),
        f"{what}: the new one and the previous one are valid",
    )
    cluster.access = both
    if not keep_old:
        only = LocalAccess((new,), is_open=False)
        await _on_each(
            cluster,
            lambda node: _admit(node, only),
            f"{what}: the new one is valid, the previous one on some nodes still",
        )
        cluster.access = only


async def _admit(node: LocalNode, access: LocalAccess) -> None:
    """Let clients in, now and after later starts."""
    if node.is_alive and not access.is_open:
        await node.command("ACL", "SETUSER", "default", *access.rules)
    node.settings.update(access_settings(access))


async def _use(node: LocalNode, access: LocalAccess) -> None:
    """Log in with the newest password, as a replica and as an administrator."""
    if node.is_alive:
        await node.configure(replica_login(access))
    node.password = access.newest


async def _on_each(
    cluster: LocalCluster, change: Callable[[LocalNode], Awaitable[None]], what: str
) -> None:
    for node in cluster.nodes:
        try:
            await change(node)
        except RunError as exc:
            raise RunError(f"{what}: {exc}; try again once all nodes answer") from exc
