"""Transit encryption: none, preferred and required, one neighbour step at a time."""

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.rules import bad_combination, bad_value
from loadprobe.local.api.plane import MODIFY, Plane
from loadprobe.local.cluster.settings import TlsMode
from loadprobe.local.cluster.transport import set_tls_mode

_STEPS: tuple[TlsMode, ...] = ("none", "preferred", "required")
_OLDEST = {"redis": (7, 0, 5), "valkey": (7, 2, 0)}


async def plan_tls(
    _plane: Plane, group: ReplicationGroup, params: Params
) -> Change | None:
    """Return the change of transit encryption, None if there is nothing to change."""
    mode = wanted_mode(
        group.tls_mode,
        is_enabled=params.get("TransitEncryptionEnabled"),
        mode=params.get("TransitEncryptionMode"),
    )
    if mode == group.tls_mode:
        return None
    _check_servers(group)
    if mode == "none" and group.cluster.password is not None:
        raise bad_combination("An auth token needs encryption in transit.")
    pending = (
        {"TransitEncryptionEnabled": False}
        if mode == "none"
        else {"TransitEncryptionEnabled": True, "TransitEncryptionMode": mode}
    )

    async def perform(_change: Change) -> None:
        await set_tls_mode(group.cluster, mode)

    return Change(
        MODIFY,
        perform,
        pending=pending,
        node_pending=pending,
        done_event=f"Transit encryption mode of replication group {group.group_id} "
        f"changed to {mode}",
    )


def wanted_mode(
    current: TlsMode, *, is_enabled: bool | None, mode: str | None
) -> TlsMode:
    """Return the mode that a request asks for.

    Args:
        current: the mode now.
        is_enabled: TransitEncryptionEnabled.
        mode: TransitEncryptionMode.

    Raises:
        ApiFault: the request is contradictory, or the mode is no neighbour.
    """
    if mode is not None and mode not in _STEPS[1:]:
        raise bad_value(f"Invalid TransitEncryptionMode: {mode}.")
    if mode is not None and not is_enabled:
        raise bad_combination(
            "To modify transit encryption mode, set encryption-in-transit as enabled."
        )
    wanted: TlsMode
    if not is_enabled:
        wanted = "none"
    elif mode is not None:
        wanted = "preferred" if mode == "preferred" else "required"
    else:
        wanted = current if current != "none" else "required"
    if abs(_STEPS.index(wanted) - _STEPS.index(current)) > 1:
        raise bad_combination(
            f"Transit encryption cannot go from {current} to {wanted}: it must be "
            "preferred first."
        )
    return wanted


def _check_servers(group: ReplicationGroup) -> None:
    for node in group.cluster.nodes:
        server = node.server
        version = tuple(int(part) for part in server.version.split("."))
        if version < _OLDEST[server.engine]:
            raise bad_combination(
                f"Transit encryption cannot be modified with {server.engine} "
                f"{server.version}."
            )
        if not server.has_tls:
            raise bad_combination(
                f"{server.engine} {server.version} as found here was built without TLS."
            )
