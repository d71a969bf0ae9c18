"""The tags of what loadprobe creates, by which it knows again what it may delete.

Pure.
"""

from collections.abc import Mapping

from loadprobe.control.provider.state import GroupState

CREATED_BY_TAG = "loadprobe:created-by"
CREATED_BY_VALUE = "loadprobe"
MARK_TAG = "loadprobe:mark"
"""Its value is random and in the note of the group too: no other group has it."""


def as_tags(mark: str, more: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Return the tags of a request that creates something.

    Args:
        mark: "" goes without: it is never to be deleted by loadprobe.
        more: further tags.
    """
    tags = {CREATED_BY_TAG: CREATED_BY_VALUE} | dict(more or {})
    if mark:
        tags[MARK_TAG] = mark
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def carries(state: GroupState, mark: str) -> bool:
    """Tell whether a group is known to carry a mark."""
    return bool(mark) and (state.tags or {}).get(MARK_TAG) == mark


def not_ours(state: GroupState) -> str:
    """Return why a group is not taken for one that loadprobe made, for people."""
    word = state.group.kind.word
    if state.tags is None:
        return f"the provider does not tell its tags, so not its mark ({MARK_TAG})"
    if MARK_TAG not in state.tags:
        return f"it has no tag {MARK_TAG}, which the {word} that was created has"
    return f"its tag {MARK_TAG} is not that of the {word} that was created"
