"""Auth tokens: ROTATE adds one, SET leaves only the newest."""

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.rules import (
    bad_combination,
    bad_value,
    check_token,
)
from loadprobe.local.api.plane import MODIFY, Plane, now
from loadprobe.local.cluster.passwords import set_password

_STATUS = {"ROTATE": "ROTATING", "SET": "SETTING"}


async def plan_auth(
    _plane: Plane, group: ReplicationGroup, params: Params
) -> Change | None:
    """Return the change of the auth token."""
    strategy = params.get("AuthTokenUpdateStrategy", "ROTATE")
    token = params.get("AuthToken")
    if strategy == "DELETE":
        raise bad_combination("DELETE is for a change to user groups: add one.")
    if strategy not in _STATUS:
        raise bad_value(f"Invalid AuthTokenUpdateStrategy: {strategy}.")
    if token is None:
        raise bad_combination(f"AuthTokenUpdateStrategy {strategy} needs an AuthToken.")
    check_token(token)
    if group.tls_mode == "none":
        raise bad_combination("AuthToken needs encryption in transit.")
    if strategy == "SET":
        _check_set(group, token)

    async def perform(_change: Change) -> None:
        await set_password(group.cluster, token, keep_old=strategy == "ROTATE")

    def complete() -> None:
        group.is_rotating = strategy == "ROTATE"
        group.token_changed = now()

    pending = {"AuthTokenStatus": _STATUS[strategy]}
    return Change(
        MODIFY,
        perform,
        complete=complete,
        pending=pending,
        node_pending=pending,
        done_event=f"Auth token of replication group {group.group_id} changed: "
        f"{strategy}",
    )


def _check_set(group: ReplicationGroup, token: str) -> None:
    if not group.is_rotating:
        raise bad_combination(
            "AuthTokenUpdateStrategy SET is allowed only after ROTATE."
        )
    if token != group.cluster.password:
        raise bad_value("SET takes the auth token that was rotated in last.")
