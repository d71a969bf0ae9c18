"""IAM policies, as documents, from the table of what has to be allowed.

Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from loadprobe.control.permissions.grants import GRANTS, Grants, On

_VERSION = "2012-10-17"
_PARTITIONS = {
    "cn-": "aws-cn",
    "eusc-": "aws-eusc",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
}


@dataclass(frozen=True, slots=True)
class GroupName:
    """Where a group is.

    Args:
        group: id of the replication group, or name of the serverless cache.
        region: its region.
        account: number of the account.
        partition: "aws" but for China, the government's and the isolated regions.
    """

    group: str
    region: str
    account: str
    partition: str = "aws"

    def arn(self, what: On) -> str:
        """Return the resource."""
        if what is On.EVERYTHING:
            return what
        return self.arn_of(what.format(group=self.group))

    def arn_of(self, last: str) -> str:
        """Return a resource of ElastiCache by the last part of its ARN."""
        where = f"{self.partition}:elasticache:{self.region}:{self.account}"
        return f"arn:{where}:{last}"


def partition_of(region: str) -> str:
    """Return the partition that a region belongs to."""
    found = (name for prefix, name in _PARTITIONS.items() if region.startswith(prefix))
    return next(found, "aws")


def make_statements(
    purposes: Iterable[str], place: GroupName, table: Grants = GRANTS
) -> list[dict[str, Any]]:
    """Return the statements for some purposes, each action once for a resource.

    Args:
        purposes: keys of the table.
        place: the group or cache that it is about.
        table: that of groups, or that of serverless caches.
    """
    merged: dict[str, tuple[set[str], list[str], dict[str, Any]]] = {}
    for purpose in purposes:
        for grant in table[purpose]:
            resources = [place.arn(what) for what in grant.on]
            condition = {
                operator: {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in keys.items()
                }
                for operator, keys in grant.condition.items()
            }
            key = repr((resources, condition))
            merged.setdefault(key, (set(), resources, condition))[0].update(
                grant.actions
            )
    return [
        allow((f"elasticache:{name}" for name in actions), resources, condition)
        for actions, resources, condition in merged.values()
    ]


def make_policy(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document of some statements."""
    return {"Version": _VERSION, "Statement": statements}


def node_metrics() -> dict[str, Any]:
    """Return the statement for metrics of nodes: CloudWatch limits them to nothing."""
    return allow(["cloudwatch:GetMetricData"], ["*"])


def allow(
    actions: Iterable[str],
    resources: Iterable[str],
    condition: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a statement.

    Args:
        actions: with the service before them.
        resources: ARNs.
        condition: when; None is always.
    """
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": list(resources),
    }
    return statement | ({"Condition": condition} if condition else {})
