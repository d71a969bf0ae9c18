"""What can be known to fail before a call is sent.

Pure. Each guard raises ControlError with what was wanted, what is there instead and
what to do. They hold what the API reference and the user guide state; where the
provider may know better, it decides.
"""

import re

from loadprobe.clock import NS_PER_S
from loadprobe.control.provider.event_texts import (
    EventKind,
    EventMeaning,
    classify,
    is_ours,
)
from loadprobe.control.provider.replies import NodeGroup
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import ABSENT, AVAILABLE, GroupState
from loadprobe.errors import ControlError

FAILOVERS_PER_DAY = 15
"""TestFailover accepts this many node groups in any 24 hours (API reference)."""

MOST_REPLICAS = 5
"""Replicas a shard may have (API reference of IncreaseReplicaCount)."""

_DAY_NS = 24 * 3600 * NS_PER_S
_REPLACEMENT_NS = 30 * 60 * NS_PER_S
"""A replacement without an end in sight is forgotten after so long; 13 minutes were
observed from the call to "Finished recovery"."""

_TLS_FROM = {"redis": (7, 0), "valkey": (7, 2)}
_DURABLE_FROM = (9, 0)
_TLS_MODES = ("none", "preferred", "required")
_TOKEN = re.compile(r"[A-Za-z0-9!&#$^<>-]{16,128}")


def check_available(state: GroupState, what: str) -> None:
    """Refuse a group that is not there or not available."""
    status, kind = state.group.status, state.group.kind
    if status == ABSENT:
        raise ControlError(
            f"{what}: the provider knows no {kind.word} {state.group.id!r}; check "
            f"control.{kind.key} and control.region, or create it"
        )
    if status != AVAILABLE:
        raise ControlError(
            f"{what}: the {state.group.named} is {status!r}, not {AVAILABLE!r}; wait "
            "until it is"
        )


def check_tls_step(state: GroupState, mode: str, what: str) -> None:
    """Refuse a step that is not to a neighbour, or that the engine does not know."""
    group = state.group
    if mode not in _TLS_MODES:
        raise ControlError(
            f"{what}: expected one of {', '.join(_TLS_MODES)}, got {mode!r}"
        )
    if abs(_TLS_MODES.index(mode) - _TLS_MODES.index(group.tls_mode)) > 1:
        raise ControlError(
            f"{what}: {group.id} is at {group.tls_mode!r}; go by way of 'preferred'"
        )
    if group.user_groups:
        raise ControlError(
            f"{what}: access to {group.id} is controlled by user groups "
            f"({', '.join(group.user_groups)}), and its transit encryption cannot be "
            "changed; remove them first"
        )
    if mode == "none" and group.has_auth:
        raise ControlError(
            f"{what}: {group.id} has an AUTH token, which needs TLS; a token cannot "
            "be removed, so TLS stays on"
        )
    for cluster in state.clusters:
        least = _TLS_FROM.get(cluster.engine)
        if least is None or version_of(cluster.engine_version) < least:
            raise ControlError(
                f"{what}: {cluster.id} runs {cluster.engine} {cluster.engine_version}; "
                "transit encryption of a running group can be changed from Redis OSS "
                "7.0 and Valkey 7.2 on; upgrade the engine first"
            )


def check_durable(state: GroupState, what: str) -> None:
    """Refuse nodes that know no durability (user guide: from Valkey 9.0 on)."""
    for cluster in state.clusters:
        is_new = version_of(cluster.engine_version) >= _DURABLE_FROM
        if cluster.engine != "valkey" or not is_new:
            raise ControlError(
                f"{what}: {cluster.id} runs {cluster.engine} {cluster.engine_version}; "
                "durability needs Valkey 9.0 or newer; upgrade the engine first"
            )


def find_node_group(state: GroupState, shard: str, what: str) -> NodeGroup:
    """Return a node group by its id; "1" means "0001"."""
    wanted = shard.zfill(4) if shard.isdigit() else shard
    found = state.group.shards.get(wanted)
    if found is None:
        known = ", ".join(sorted(state.group.shards)) or "none"
        raise ControlError(
            f"{what}: {state.group.id} has no such node group; known: {known}"
        )
    return found


def check_replica(node_group: NodeGroup, what: str) -> None:
    """Refuse a shard that nobody could take over."""
    if len(node_group.members) < 2:
        raise ControlError(f"{what}: it has no replica; add one before failing over")


def check_failover_quota(state: GroupState, what: str) -> None:
    """Refuse what the provider's daily quota refuses."""
    calls = [
        meaning.record
        for meaning in _meanings(state, within_ns=_DAY_NS)
        # Of any group: the quota is the account's.
        if meaning.kind is EventKind.TEST_FAILOVER_CALLED
    ]
    if len(calls) >= FAILOVERS_PER_DAY:
        wait_ns = calls[0].date_unix_ns + _DAY_NS - state.seen_unix_ns
        raise ControlError(
            f"{what}: {len(calls)} test failovers were called in the last 24 hours and "
            f"{FAILOVERS_PER_DAY} are allowed; the oldest of them expires in "
            f"{max(0, wait_ns // NS_PER_S)} s"
        )


def unfinished_replacement(state: GroupState) -> str:
    """Return the node group whose node is still being replaced, else "".

    The provider refuses a failover until the node replacement of the previous one is
    complete.
    """
    group_id, members = state.group.id, state.members or {}
    open_groups: dict[str, None] = {}
    for meaning in _meanings(state, within_ns=_REPLACEMENT_NS):
        is_own = is_ours(meaning.record, group_id=group_id, members=members)
        if meaning.node_group is None or not is_own:
            continue
        if meaning.kind is EventKind.TEST_FAILOVER_CALLED:
            open_groups[meaning.node_group] = None
        elif meaning.kind is EventKind.RECOVERY_FINISHED:
            open_groups.pop(meaning.node_group, None)
    return next(iter(open_groups), "")


def check_replicas(state: GroupState, count: int, what: str) -> None:
    """Refuse a number of replicas that a shard cannot have."""
    group = state.group
    if not 0 <= count <= MOST_REPLICAS:
        raise ControlError(
            f"{what}: a shard has 0 to {MOST_REPLICAS} replicas, got {count}"
        )
    if count == 0 and not group.is_cluster and group.multi_az == "enabled":
        raise ControlError(
            f"{what}: {group.id} is Multi-AZ without cluster mode and needs a replica"
        )
    counts = {len(shard.members) - 1 for shard in group.shards.values()}
    if counts and min(counts) < count < max(counts):
        raise ControlError(
            f"{what}: shards of {group.id} have {min(counts)} to {max(counts)} "
            "replicas, so some would grow and some would shrink, which is two calls; "
            f"go to {max(counts)} or {min(counts)} first"
        )


def check_node_type(state: GroupState, node_type: str, what: str) -> None:
    """Refuse a node type that the provider does not offer for this group."""
    allowed = state.node_types
    if allowed is not None and node_type not in allowed:
        raise ControlError(
            f"{what}: not offered for {state.group.id}; allowed: "
            f"{', '.join(sorted(allowed)) or 'none'}"
        )


def check_upgrade(state: GroupState, engine: str, version: str, what: str) -> None:
    """Refuse a downgrade and a version that the provider does not offer."""
    wanted = version_of(version)
    if engine not in _TLS_FROM or not wanted:
        raise ControlError(
            f"{what}: expected 'redis' or 'valkey' and a version such as '7.1', got "
            f"{engine!r} and {version!r}"
        )
    for cluster in state.clusters:
        there = version_of(cluster.engine_version)
        # "7.1" asked of a node with 7.1.3 is no downgrade: only what is said counts.
        goes_back = wanted < there[: len(wanted)]
        if goes_back or (cluster.engine == "valkey" and engine == "redis"):
            raise ControlError(
                f"{what}: {cluster.id} runs {cluster.engine} {cluster.engine_version}, "
                "and an engine cannot be downgraded; restore a snapshot into a new "
                "group instead"
            )
    offered = state.engine_versions
    if offered is None:
        return
    known = [each.version for each in offered if each.engine == engine]
    if not any(is_version(each, version) for each in known):
        raise ControlError(
            f"{what}: the provider does not offer it; offered for {engine}: "
            f"{', '.join(known) or 'none'}"
        )


def check_token(state: GroupState, token: Secret, strategy: str, what: str) -> None:
    """Refuse a token against the rules, or a group that takes none."""
    if strategy not in {"rotate", "set"}:
        raise ControlError(f"{what}: expected 'rotate' or 'set', got {strategy!r}")
    group = state.group
    check_new_token(token, group.tls_mode, what)
    if group.user_groups:
        raise ControlError(
            f"{what}: access to {group.id} is controlled by user groups "
            f"({', '.join(group.user_groups)}); change their users' passwords instead"
        )
    if strategy == "set" and not group.has_auth:
        raise ControlError(
            f"{what}: {group.id} has no token yet, and SET is allowed only after "
            "ROTATE; rotate to this token first"
        )


def check_new_token(token: Secret, tls_mode: str, what: str) -> None:
    """Refuse a token against the rules, or one without TLS."""
    if _TOKEN.fullmatch(token.reveal()) is None:
        raise ControlError(
            f"{what}: a token has 16 to 128 characters, which are letters, digits or "
            "one of ! & # $ ^ < > -; choose another one"
        )
    if tls_mode == "none":
        raise ControlError(f"{what}: a token needs TLS; turn it on first")


def version_of(text: str) -> tuple[int, ...]:
    """Return "7.0.15" as (7, 0, 15); an unreadable part ends it ("6.x" is (6,))."""
    parts: list[int] = []
    for part in text.split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)


def is_version(there: str, wanted: str) -> bool:
    """Tell whether a version is what was asked for: "7.1.3" is "7.1"."""
    asked = version_of(wanted)
    return bool(asked) and version_of(there)[: len(asked)] == asked


def _meanings(state: GroupState, *, within_ns: int) -> list[EventMeaning]:
    since = state.seen_unix_ns - within_ns
    return [
        classify(record, group_id=state.group.id, members=state.members or {})
        for record in state.records or ()
        if record.date_unix_ns >= since
    ]
