"""The truth before all else: who tells it must not wait for a core."""

import os
from contextlib import suppress

_NICENESS = -10


def put_first(pid: int) -> None:
    """Let a process run before all ordinary ones, as far as that is permitted."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
