"""A pair of clocks."""

from loadprobe.clock import ClockPair

S = 1_000_000_000
CLOCK = ClockPair(0, 1_700_000_000 * S)
