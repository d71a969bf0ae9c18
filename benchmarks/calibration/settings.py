"""What is varied from case to case, and the probing gaps that follow from it.

Pure. The gaps come from the product's own plan of arrivals, not from a formula of
their own.
"""

from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Literal

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.keyspace import ArrivalPlan

SHARDS = 5
READ_RATIO = 0.8
DEADLINE_MS = 250
_ROUNDS = 40

View = Literal["shard", "read", "write"]
VIEWS: tuple[View, ...] = ("shard", "read", "write")
"""What outages are compared by: all op kinds of a shard together, or one of them."""


Disturbance = Literal[
    "", "probe stopped", "one stopped", "supervisor stopped", "starved", "paused"
]
"""What is done to the meter meanwhile, never to the server."""


class Setting(msgspec.Struct, frozen=True):
    """One case.

    Args:
        rate_per_s: arrivals per second of the whole lane.
        processes: probe processes that share it.
        tls: connect by TLS.
        busy: every core is kept busy by another process.
        disturbance: what is done to the meter: its probe processes are stopped (all,
            or the first one), the supervisor is, other processes take the core that
            the probes run on, or the probes pause shortly again and again.
        compiled: the loop that measures is compiled.
    """

    rate_per_s: int
    processes: int = 1
    tls: bool = False
    busy: bool = False
    disturbance: Disturbance = ""
    compiled: bool = False

    @property
    def label(self) -> str:
        """Return a name for people."""
        return (
            f"{self.rate_per_s:,}/s {'TLS' if self.tls else 'TCP'} "
            f"{self.processes} proc {'busy' if self.busy else 'idle'}"
            f"{self.disturbance and ', '}{self.disturbance}"
            f"{', compiled' if self.compiled else ''}"
        )


class Lengths(msgspec.Struct, frozen=True):
    """How long the parts of a case last, in seconds.

    Args:
        single_s: outages of one shard each.
        common_s: outages of all shards.
        moving_s: outages of one shard while slots move.
        disturbed_s: instead of all these, if the meter is disturbed: outages while it
            is.
    """

    single_s: float
    common_s: float
    moving_s: float
    disturbed_s: float


FULL = Lengths(single_s=8.0, common_s=3.0, moving_s=3.0, disturbed_s=20.0)
QUICK = Lengths(single_s=4.0, common_s=1.2, moving_s=1.5, disturbed_s=8.0)

FULL_SETTINGS = (
    *(
        Setting(rate, tls=tls, busy=busy)
        for rate in (100, 1_000, 3_000, 20_000)
        for tls in (False, True)
        for busy in (False, True)
    ),
    *(
        Setting(3_000, processes=processes, busy=busy)
        for processes in (2, 3, 4)
        for busy in (False, True)
    ),
    Setting(3_000, processes=2, tls=True),
    Setting(20_000, processes=2),
    Setting(20_000, processes=4, tls=True),
    Setting(1_000, processes=4, tls=True, busy=True),
    Setting(100, disturbance="probe stopped"),
    Setting(100, disturbance="starved"),
    Setting(100, tls=True, disturbance="paused"),
    Setting(3_000, disturbance="probe stopped"),
    Setting(3_000, tls=True, disturbance="probe stopped"),
    Setting(20_000, disturbance="probe stopped"),
    Setting(3_000, processes=2, disturbance="probe stopped"),
    Setting(3_000, processes=2, disturbance="one stopped"),
    Setting(1_000, processes=2, tls=True, disturbance="one stopped"),
    Setting(3_000, disturbance="supervisor stopped"),
    Setting(1_000, processes=2, tls=True, disturbance="supervisor stopped"),
    Setting(1_000, tls=True, disturbance="starved"),
    Setting(3_000, disturbance="starved"),
    Setting(3_000, processes=2, disturbance="starved"),
    Setting(3_000, disturbance="paused"),
    Setting(3_000, tls=True, disturbance="paused"),
    Setting(3_000, compiled=True),
    Setting(20_000, tls=True, compiled=True),
    Setting(3_000, disturbance="probe stopped", compiled=True),
    Setting(3_000, tls=True, disturbance="probe stopped", compiled=True),
    Setting(3_000, processes=2, disturbance="one stopped", compiled=True),
    Setting(3_000, disturbance="supervisor stopped", compiled=True),
    Setting(3_000, disturbance="paused", compiled=True),
)
QUICK_SETTINGS = (
    Setting(3_000),
    Setting(1_000, processes=2, tls=True),
    Setting(20_000),
    Setting(3_000, busy=True),
    Setting(3_000, disturbance="probe stopped"),
)


@cache
def distances_ns(
    rate_per_s: int, processes: int, view: View, *, only_last: bool = False
) -> tuple[float, ...]:
    """Return the planned distances of consecutive arrivals of one shard.

    They cover ``_ROUNDS`` periods of the pattern, more or less.

    Args:
        rate_per_s: of the lane.
        processes: that share it.
        view: which arrivals count.
        only_last: those of the last process alone.
    """
    plans = [
        ArrivalPlan(
            SHARDS,
            slice_index=index,
            slice_count=processes,
            read_ratio=READ_RATIO,
        )
        for index in range(processes)
    ]
    wanted = {
        "shard": (OpKind.READ, OpKind.WRITE),
        "read": (OpKind.READ,),
        "write": (OpKind.WRITE,),
    }[view]
    step = processes if only_last else 1
    arrivals = _ROUNDS * SHARDS * processes * Fraction(str(READ_RATIO)).denominator
    own = [
        index
        for index in range(processes - 1 if only_last else 0, arrivals, step)
        for ordinal, op, _ in (plans[index % processes].lookup(index),)
        if ordinal == 0 and op in wanted
    ]
    return tuple((b - a) * NS_PER_S / rate_per_s for a, b in pairwise(own))


def gap_ns(setting: Setting, view: View) -> float:
    """Return the largest planned distance of arrivals: the probing gap."""
    only_last = setting.disturbance == "one stopped"
    return max(
        distances_ns(setting.rate_per_s, setting.processes, view, only_last=only_last)
    )


def chance_seen(setting: Setting, view: View, length_ns: float) -> float:
    """Return the chance that an outage at a random time meets an arrival, 0..1."""
    distances = distances_ns(setting.rate_per_s, setting.processes, view)
    return sum(min(one, length_ns) for one in distances) / sum(distances)
