"""Missing permissions are told by calls that change nothing."""

from typing import Any

import pytest

from loadprobe.config.keys import Control
from loadprobe.control.permissions.asking import _READS, changes_of, denied_reads
from loadprobe.control.permissions.grants import (
    GRANTS,
    SERVERLESS_GRANTS,
    WATCH,
    actions_of,
)
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.run.checks import Check
from loadprobe.run.permission_check import check_permissions
from tests.support.control_provider import (
    Provider,
    api_of,
    no_connection,
    refusal,
    run,
)

ALL = tuple(GRANTS)
OF_A_GROUP = sorted(
    _READS.keys() - {"DescribeReplicationGroups", "DescribeServerlessCaches"}
)
"""Reads of which each can be missing alone."""


def deny(provider: Provider, *actions: str) -> None:
    """Have a provider refuse some actions, however often."""
    for action in actions:
        provider.script[action].extend([refusal("AccessDenied")] * 20)


def denied(provider: Provider, *purposes: str) -> tuple[str, ...]:
    """Return what is found to be denied."""

    async def ask() -> tuple[str, ...]:
        return await denied_reads(api_of(provider), purposes)

    return run(ask())


def test_all_reads_of_the_table_are_asked_for() -> None:
    """An action is either a read that is made, or a change that is not."""
    reads = {a for a in actions_of(*ALL) if a.startswith(("Describe", "List"))}
    assert reads == set(_READS) - {"DescribeServerlessCaches"}
    provider = Provider()
    assert denied(provider, *ALL) == ()
    assert provider.operations == reads
    assert provider.calls == []
    assert set(changes_of(ALL)) == actions_of(*ALL) - reads


def test_the_reads_of_a_serverless_cache() -> None:
    """They are asked for by its own table, and one that is missing is named."""
    provider = Provider()
    provider.become_cache()
    table = SERVERLESS_GRANTS
    needed = actions_of(*table, table=table)
    reads = {action for action in needed if action.startswith(("Describe", "List"))}
    assert run(denied_reads(api_of(provider), tuple(table), table)) == ()
    assert provider.operations == reads
    assert set(changes_of(tuple(table), table)) == needed - reads
    deny(provider, "DescribeServerlessCaches")
    assert "DescribeServerlessCaches" in run(
        denied_reads(api_of(provider), tuple(table), table)
    )


@pytest.mark.parametrize("action", OF_A_GROUP)
def test_one_that_is_missing(action: str) -> None:
    """It is named, and nothing else is."""
    provider = Provider()
    deny(provider, action)
    assert denied(provider, *ALL) == (action,)
    assert provider.calls == []


def test_what_cannot_be_known_is_not_told() -> None:
    """Without the group's description nothing that follows from it is found missing."""
    provider = Provider()
    deny(provider, *_READS)
    assert denied(provider, *ALL) == (
        "DescribeReplicationGroups",
        "DescribeEvents",
        "DescribeUpdateActions",
    )


def test_only_what_is_needed_is_asked() -> None:
    """A run that only watches needs nothing that changes do."""
    provider = Provider()
    deny(provider, "ListTagsForResource", "DescribeCacheEngineVersions")
    assert denied(provider, WATCH, "tls") == ()
    assert provider.operations == actions_of(WATCH)


def test_a_group_that_is_not_there_yet() -> None:
    """Nothing is missing because the group is."""
    provider = Provider()
    provider.group = None
    assert denied(provider, WATCH, "create", "delete") == ()


def line(provider: Provider, *operations: str) -> Check:
    """Return what `check` says."""

    class Shared:
        async def open(self, *_: Any, **__: Any) -> ElastiCacheApi:
            return api_of(provider)

    return run(check_permissions(Control("rg"), Shared(), operations))  # type: ignore[arg-type]


def test_what_is_said() -> None:
    """A missing permission is a failure with what to do; a change is no promise."""
    watching, changing, missing, unknown = (Provider() for _ in range(4))
    deny(missing, "DescribeEvents", "ListAllowedNodeTypeModifications")
    unknown.script["DescribeEvents"].append(no_connection())

    assert line(watching).detail == "all reads are allowed"
    assert line(changing, "failover").detail == (
        "all reads are allowed; whether TestFailover is, only the call shows; "
        "loadprobe access iam prints the policy that is needed"
    )
    found = line(missing, "node_type")
    assert (found.passed, found.is_needed) == (False, False)
    assert found.detail == (
        "elasticache:DescribeEvents, elasticache:ListAllowedNodeTypeModifications not "
        "allowed; loadprobe access iam prints the policy that is needed"
    )
    assert line(unknown).detail.startswith("not known: DescribeEvents")


@pytest.mark.parametrize("code", ["ExpiredToken", "Throttling"])
def test_refusals_that_say_nothing(code: str) -> None:
    """Stale credentials and too many calls tell nothing of permissions."""
    provider = Provider()
    provider.script["DescribeUpdateActions"].extend([refusal(code)] * 20)
    found = line(provider)
    assert not found.passed
    assert found.detail.startswith("not known: DescribeUpdateActions")
