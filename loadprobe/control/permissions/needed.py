"""What AWS has to allow for a run of a configuration: all of it, and no more.

Pure.
"""

import re
from collections.abc import Iterable
from typing import Any

from loadprobe.config.addresses import is_loopback
from loadprobe.config.keys import Config
from loadprobe.control.permissions.grants import (
    CHANGES_NOTHING,
    purposes_of,
    table_of,
)
from loadprobe.control.permissions.policy import (
    GroupName,
    allow,
    make_policy,
    make_statements,
    node_metrics,
    partition_of,
)
from loadprobe.errors import UsageError

_WORKSPACE = re.compile(r"/workspaces/(ws-[\w-]+)/")


def policy_of(
    config: Config, operations: tuple[str, ...], *, account: str
) -> dict[str, Any]:
    """Return the policy of a run.

    Args:
        config: what is run.
        operations: those of the steps of its scenario; () without one.
        account: number of the account that all is in; "*" is any.

    Raises:
        UsageError: nothing of it is a matter of AWS.
    """
    statements = [
        *_of_group(config, operations, account),
        *_of_node_metrics(config),
        *_of_login(config, account),
        *_of_notices(config),
        *_of_samples(config, account),
    ]
    if not statements:
        raise UsageError(
            "a run of this configuration asks nothing of AWS: it has no [control], or "
            "one whose API is on this machine, no iam_user, and sends nothing there"
        )
    return make_policy(statements)


def _of_group(
    config: Config, operations: tuple[str, ...], account: str
) -> Iterable[dict[str, Any]]:
    control = config.control
    if control is None and set(operations) - (CHANGES_NOTHING - {"wait"}):
        raise UsageError(
            "a scenario needs to know the replication group: add [control] "
            "replication_group to the configuration"
        )
    if control is None or is_loopback(control.endpoint_url):
        return ()
    region, table = control.region, table_of(control)
    place = GroupName(control.cache, region, account, partition_of(region))
    return make_statements(purposes_of(operations, table), place, table)


def _of_node_metrics(config: Config) -> Iterable[dict[str, Any]]:
    control = config.control
    if (
        control is not None
        and control.endpoint_url is None
        and not control.is_serverless  # whose nodes nobody is told
        and config.servers.cloudwatch
    ):
        yield node_metrics()


def _of_login(config: Config, account: str) -> Iterable[dict[str, Any]]:
    target = config.target
    if target.iam_user is None:
        return
    assert target.iam_cache is not None, "completed when the file was read"
    assert target.iam_region is not None, "completed when the file was read"
    region = target.iam_region
    place = GroupName(target.iam_cache, region, account, partition_of(region))
    kind = "serverlesscache" if target.iam_serverless else "replicationgroup"
    yield allow(
        ["elasticache:Connect"],
        [
            place.arn_of(f"{kind}:{target.iam_cache}"),
            place.arn_of(f"user:{target.iam_user}"),
        ],
    )


def _of_notices(config: Config) -> Iterable[dict[str, Any]]:
    topics = {
        webhook.topic_arn
        for webhook in config.webhooks
        if webhook.topic_arn is not None and webhook.endpoint_url is None
    }
    if topics:
        yield allow(["sns:Publish"], sorted(topics))


def _of_samples(config: Config, account: str) -> Iterable[dict[str, Any]]:
    remote = config.remote_write
    if remote is None or remote.region is None:
        return
    found = _WORKSPACE.search(remote.url)
    where = f"{partition_of(remote.region)}:aps:{remote.region}:{account}"
    workspace = found[1] if found else "*"
    yield allow(["aps:RemoteWrite"], [f"arn:{where}:workspace/{workspace}"])
