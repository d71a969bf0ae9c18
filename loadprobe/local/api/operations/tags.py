"""The operations on tags: of replication groups and serverless caches, by their ARN.

As on AWS, a group that is at work does not tell its tags (documented for
ListTagsForResource). Nodes have none of their own here.
"""

from typing import Any

from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.rules import bad_value
from loadprobe.local.api.plane import Plane
from loadprobe.local.api.rendering import group_arn

_MOST_TAGS = 50
_AT_REST = frozenset({"available", "create-failed", "migrating"})


async def list_tags_for_resource(plane: Plane, params: Params) -> dict[str, Any]:
    """ListTagsForResource."""
    return _shown(_group(plane, params))


async def add_tags_to_resource(plane: Plane, params: Params) -> dict[str, Any]:
    """AddTagsToResource: a tag that is there gets the new value."""
    group = _group(plane, params)
    group.tags = group.tags | read_tags(params, present=group.tags)
    return _shown(group)


async def remove_tags_from_resource(plane: Plane, params: Params) -> dict[str, Any]:
    """RemoveTagsFromResource: all of them, or none."""
    group = _group(plane, params)
    for name in params["TagKeys"]:
        if name not in group.tags:
            raise ApiFault("TagNotFound", f"The tag {name} is not on this resource.")
    group.tags = {k: v for k, v in group.tags.items() if k not in params["TagKeys"]}
    return _shown(group)


def read_tags(params: Params, present: dict[str, str] | None = None) -> dict[str, str]:
    """Return the tags of a request, checked.

    Args:
        params: with Tags, or without.
        present: tags that are there already, and count.
    """
    tags: dict[str, str] = {}
    for tag in params.get("Tags", []):
        if not tag.get("Key"):
            raise bad_value("A tag needs a Key.")
        tags[tag["Key"]] = tag.get("Value", "")
    if len((present or {}) | tags) > _MOST_TAGS:
        raise ApiFault(
            "TagQuotaPerResourceExceeded", f"A resource has at most {_MOST_TAGS} tags."
        )
    return tags


def _group(plane: Plane, params: Params) -> ReplicationGroup:
    arn = params["ResourceName"]
    for group in plane.all_groups:
        if arn == group_arn(group):
            break
    else:
        raise ApiFault("InvalidARN", f"{arn} is nothing that is here.")
    if group.status not in _AT_REST:
        raise ApiFault(
            group.bad_state,
            f"{group.word.capitalize()} {group.group_id} is {group.status}, not "
            "available.",
        )
    return group


def _shown(group: ReplicationGroup) -> dict[str, Any]:
    return {
        "TagList": [{"Key": key, "Value": value} for key, value in group.tags.items()]
    }
