"""The line of a check about permissions: which are missing, as far as is told."""

from loadprobe.config.keys import Control
from loadprobe.control.permissions.asking import changes_of, denied_reads
from loadprobe.control.permissions.grants import purposes_of, table_of
from loadprobe.control.provider.shared import SharedApi
from loadprobe.errors import LoadprobeError
from loadprobe.run.checks import Check

_NAME = "permissions"
_PRINT = "loadprobe access iam prints the policy that is needed"


async def check_permissions(
    control: Control, shared: SharedApi, operations: tuple[str, ...]
) -> Check:
    """Make the reads that a run needs, and say what is not allowed.

    A run begins all the same: what is denied ends what needs it.

    Args:
        control: the group.
        shared: its API, which stays open.
        operations: those of the steps of its scenario; () without one.
    """
    table = table_of(control)
    purposes = purposes_of(operations, table)
    try:
        api = await shared.open(control, must_exist=False)
        denied = await denied_reads(api, purposes, table)
    except LoadprobeError as exc:
        detail = f"not known: {exc}"
        return Check(_NAME, passed=False, detail=detail, is_needed=False)
    if denied:
        missing = ", ".join(f"elasticache:{action}" for action in denied)
        detail = f"{missing} not allowed; {_PRINT}"
        return Check(_NAME, passed=False, detail=detail, is_needed=False)
    detail = "all reads are allowed"
    changes = changes_of(purposes, table)
    if changes:
        detail += f"; whether {', '.join(changes)} is, only the call shows; {_PRINT}"
    return Check(_NAME, passed=True, detail=detail)
