"""What is known to keep a group from following a source, before the call is sent.

Pure. The limits are those that the user guide states (Online migration: "Preparing your
source and target"); where the provider may know better, it decides.
"""

from loadprobe.control.mutations.guards import version_of
from loadprobe.control.provider.state import GroupState
from loadprobe.errors import ControlError

_FROM = {False: (5, 0, 5), True: (5, 0, 6)}
"""Cluster mode of the group -> the oldest Redis OSS that can follow."""

_TIERED = "cache.r6gd."


def check_migration(state: GroupState, what: str) -> None:
    """Refuse a target that cannot follow a source.

    Raises:
        ControlError: it cannot; why, and what to do.
    """
    group = state.group
    if group.tls_mode != "none":
        raise ControlError(
            f"{what}: {group.id} has TLS ({group.tls_mode}), and a migration needs a "
            "target without; turn it off, or create another group"
        )
    if group.has_auth or group.user_groups:
        raise ControlError(
            f"{what}: clients of {group.id} have to log in, and a migration needs a "
            "target without AUTH; create another group"
        )
    if group.multi_az == "disabled":
        raise ControlError(
            f"{what}: {group.id} has no Multi-AZ, and a migration needs it; turn it on "
            "(modify-replication-group --multi-az-enabled)"
        )
    for node in state.clusters:
        if node.node_type.startswith(_TIERED):
            raise ControlError(
                f"{what}: {node.id} is a {node.node_type}, and groups with data "
                "tiering cannot be migrated to; take another node type"
            )
        least = _FROM[group.is_cluster]
        if node.engine == "redis" and version_of(node.engine_version) < least:
            oldest = ".".join(map(str, least))
            raise ControlError(
                f"{what}: {node.id} runs redis {node.engine_version}, and a migration "
                f"needs {oldest} or newer there; upgrade the engine first"
            )


def check_source(
    state: GroupState,
    what: str,
    *,
    is_cluster: bool,
    has_password: bool,
    has_tls: bool,
) -> None:
    """Refuse a source that the group cannot follow, as far as our own lanes know it.

    Args:
        state: the group.
        what: is wanted, for messages.
        is_cluster: the source runs in cluster mode.
        has_password: lanes log in there.
        has_tls: it is reached by TLS alone.

    Raises:
        ControlError: it cannot; why, and what to do.
    """
    if is_cluster != state.group.is_cluster:
        has, lacks = (
            ("the source runs in cluster mode", "the group does not")
            if is_cluster
            else ("the group runs in cluster mode", "the source does not")
        )
        raise ControlError(
            f"{what}: {has} and {lacks}, and a migration needs the same on both sides; "
            'use a "copy" step'
        )
    if has_password:
        raise ControlError(
            f"{what}: the lanes log in at the source, and a migration needs one "
            'without AUTH; turn it off there, or use a "copy" step'
        )
    if has_tls:
        raise ControlError(
            f"{what}: the source is reached by TLS, and a migration needs plaintext "
            'there; serve it beside TLS, or use a "copy" step'
        )
