"""Processes: life bound to the parent, and identity that survives pid reuse.

Linux only: PR_SET_PDEATHSIG (prctl(2)) and pidfds (pidfd_open(2)).
"""

import ctypes
import os
import signal

from loadprobe.liveness import is_process, start_ticks

__all__ = ["bind_life_to_parent", "is_process", "send_signal", "start_ticks"]

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


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


def send_signal(pid: int, ticks: int, signal_number: signal.Signals) -> bool:
    """Signal exactly the process (pid, start ticks), never a successor of its pid.

    Returns:
        False if that process is gone.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not is_process(pid, ticks):
            return False
        signal.pidfd_send_signal(descriptor, signal_number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True
