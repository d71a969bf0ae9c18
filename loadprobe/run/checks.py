"""One line of a preflight: what was looked at, and what was found."""

import resource
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from loadprobe.config.keys import Config, Lane
from loadprobe.errors import UsageError
from loadprobe.probe.plan import share_out

_SPARE_FILES = 64


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is fine, and what was found.

    Args:
        name: what was looked at.
        passed: whether it is fine.
        detail: what was found, and what to do.
        is_needed: False if a run can begin all the same.
        may_come: it failed, and may pass later without anything being done here.
    """

    name: str
    passed: bool
    detail: str
    is_needed: bool = True
    may_come: bool = False

    @property
    def state(self) -> Literal["pass", "warn", "fail"]:
        """Return pass, warn (a run can begin all the same) or fail (it cannot)."""
        if self.passed:
            return "pass"
        return "fail" if self.is_needed else "warn"


def connections_of(lanes: Sequence[Lane], dormant: Collection[str] = ()) -> int:
    """Return how many connections all lanes together have to a primary."""
    return sum(
        share.connections for process in share_out(lanes, dormant) for share in process
    )


def open_files(
    config: Config, dormant: Collection[str] = (), *, shards: int, replicas: int
) -> str:
    """Compare the connections of the busiest probe process with what it may open.

    The wire driver opens its share to each primary, and one to each replica.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _SPARE_FILES + max(
        sum(share.connections * shards + replicas for share in process)
        for process in share_out(config.lanes, dormant)
    )
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"a process may open {hard} files, a probe of {shards} shards and "
            f"{replicas} replicas needs {needed}; raise `ulimit -Hn` to that, use "
            "fewer workers, or more processes"
        )
    return f"a process may open {hard}, a probe needs {needed}"
