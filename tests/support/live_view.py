"""States of the live view."""

from loadprobe.clock import ClockPair
from loadprobe.outputs.live.terminal import (
    LaneState,
    LiveState,
    ObserverState,
)

S = 1_000_000_000
CLOCK = ClockPair(0, 1_767_323_045 * S)  # 2026-01-02 03:04:05 UTC


def make_state() -> LiveState:
    """Return a run of two lanes, one of which is dark on shard 0002."""
    return LiveState(
        run="demo",
        target="127.0.0.1:7000",
        started_ns=10 * S,
        planned_s=90,
        lanes=[
            LaneState("tcp", 1000, 1000, {}, 0.4, 1.25, 300),
            LaneState(
                "tls",
                1000,
                660,
                {"reset": 40, "clusterdown": 300, "late": 0},
                0.5,
                250.0,
                200,
                {"0002": 20 * S},
            ),
        ],
        observer=ObserverState(4.2, 0.8, 0, 0.35),
        problems=["writing events.ndjson failed (No space left on device)"],
    )
