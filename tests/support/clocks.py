"""A pair of clocks."""

from loadprobe.clock import ClockPair, MonoNs, WallNs

S = 1_000_000_000
CLOCK = ClockPair(MonoNs(0), WallNs(1_700_000_000 * S))
