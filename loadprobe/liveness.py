"""Whether a process still lives, told by an identity that survives the reuse of pids.

Linux only: /proc/PID/stat (proc(5)).
"""

from pathlib import Path


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
