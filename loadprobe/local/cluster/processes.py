"""Processes: life bound to the parent, and identity that survives pid reuse.

Linux only: pidfds (pidfd_open(2)); for the rest see ``loadprobe.liveness``.
"""

import os
import signal

from loadprobe.liveness import bind_life_to_parent, is_process, start_ticks

__all__ = ["bind_life_to_parent", "is_process", "send_signal", "start_ticks"]


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
