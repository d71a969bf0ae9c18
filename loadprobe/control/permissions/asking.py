"""Which reads AWS allows, found out by making them; nothing is changed.

A change cannot be asked about: the API has no dry run, and a call that is meant to be
refused for another reason is no harmless one on a group that matters.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping

from loadprobe.clock import NS_PER_S
from loadprobe.control.permissions.grants import GRANTS, Grants, actions_of
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import (
    ApiRefused,
    has_bad_keys,
    is_denied,
    is_throttled,
)
from loadprobe.control.provider.state import Need

Ask = Callable[[ElastiCacheApi], Awaitable[object]]

_MINUTE_NS = 60 * NS_PER_S


def _with(need: Need) -> Ask:
    return lambda api: api.describe_state({need}, missing_ok=True)


# Each makes the call itself, and before it at most those that stand above.
_READS: Mapping[str, Ask] = {
    "DescribeReplicationGroups": lambda api: api.warm_up(must_exist=False),
    "DescribeServerlessCaches": lambda api: api.warm_up(must_exist=False),
    "DescribeCacheClusters": lambda api: api.describe_state(missing_ok=True),
    "DescribeEvents": lambda api: api.events_since(api.provider_now_ns - _MINUTE_NS),
    "DescribeUpdateActions": lambda api: api.describe_updates(),
    "DescribeCacheEngineVersions": _with(Need.ENGINE_VERSIONS),
    "ListAllowedNodeTypeModifications": _with(Need.NODE_TYPES),
    "ListTagsForResource": _with(Need.TAGS),
}


async def denied_reads(
    api: ElastiCacheApi, purposes: Collection[str], table: Grants = GRANTS
) -> tuple[str, ...]:
    """Return the reads that are needed for some purposes, and not allowed.

    What is read only with the answer of a read that is not allowed stays unknown, and
    is not among them.

    Raises:
        ControlError: a read failed for another reason.
    """
    needed = actions_of(*purposes, table=table)
    denied: list[str] = []
    for action, ask in _READS.items():
        if action not in needed:
            continue
        try:
            await ask(api)
        except ApiRefused as fault:
            if not fault.code or has_bad_keys(fault) or is_throttled(fault):
                raise
            # Any other refusal is about the group, so the call itself is allowed.
            if is_denied(fault) and fault.operation == action:
                denied.append(action)
    return tuple(denied)


def changes_of(purposes: Collection[str], table: Grants = GRANTS) -> tuple[str, ...]:
    """Return the actions that only a change would show."""
    return tuple(sorted(actions_of(*purposes, table=table) - _READS.keys()))
