"""The section [load]: when the load is high, and what it must not do to others."""

from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[
    float,
    Meta(gt=0.0, le=1.0, description="a share above 0, up to 1 (a tenth is 0.1)"),
]


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When lanes go at their incident rate, and what lowers all rates.

    Args:
        quiet_s: the incident rate is kept for so long after the last reason for it.
        longest_s: one reason keeps it for so long at most.
        ramp_s: a rate changes linearly in this time.
        max_cpu_ratio: of the cores that loadprobe may use, for all its processes.
        max_steal_ratio: of the time of all cores, taken by other guests of the host.
        max_p99_ms: of response times, of the slowest lane and shard.
        max_connections_ratio: of the connections that a server takes (maxclients).
        max_operations_ratio: of the operations that a primary does, for anybody.
    """

    quiet_s: Annotated[float, Meta(ge=1.0, le=86_400.0)] = 60.0
    longest_s: Annotated[float, Meta(ge=1.0, le=86_400.0)] = 3600.0
    ramp_s: Annotated[float, Meta(ge=0.0, le=600.0)] = 2.0
    max_cpu_ratio: Share | None = None
    max_steal_ratio: Share | None = None
    max_p99_ms: Annotated[float, Meta(gt=0.0, le=60_000.0)] | None = None
    max_connections_ratio: Share | None = None
    max_operations_ratio: Share | None = None

    @property
    def asks_servers(self) -> bool:
        """Tell whether a ceiling is about what servers tell of themselves."""
        return (
            self.max_connections_ratio is not None
            or self.max_operations_ratio is not None
        )
