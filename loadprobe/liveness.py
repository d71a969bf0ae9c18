"""Whether a process still lives, and for how long: bound to its parent.

It is told by an identity that survives the reuse of pids. Linux only: /proc/PID/stat
(proc(5)), PR_SET_PDEATHSIG (prctl(2)).
"""

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot.

    (pid, start ticks) names a process for good; a pid alone can be reused.

    Returns:
        None if there is no such process, or only its zombie.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Fields after the command name, which may itself hold spaces and parentheses:
    # [0] is the state (field 3), [19] the start time (field 22).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_process(pid: int, ticks: int) -> bool:
    """Tell whether the process (pid, start ticks) is still alive."""
    return start_ticks(pid) == ticks


def bind_life_to_parent(parent_pid: int, signal_number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies.

    Called in a child between fork and exec (the setting survives exec), or by a
    process about itself. The kernel watches the parent's *thread* that forked.

    Args:
        parent_pid: the parent as the caller knows it; if it is already gone, the
            signal is delivered at once.
        signal_number: what to receive.

    Raises:
        OSError: the kernel refused.
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal_number)
