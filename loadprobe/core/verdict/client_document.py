"""What summary.json holds of client lanes beside each other. Pure."""

import msgspec

from loadprobe.core.verdict.quantities import Bounds


class ClientRates(msgspec.Struct, frozen=True):
    """What a lane did to its target; null without arrivals, or without a second."""

    attempts_per_arrival: float | None
    connects_per_s: float | None
    refreshes_per_s: float | None


class ClientRow(msgspec.Struct, frozen=True):
    """What became of one lane in a change or incident; see ``client_ranking``.

    Args:
        lane: its name.
        rank: 1 was served again first; null for a witness.
        recovered_ms: end of its last outage, from the start on; 0 without any, null if
            it was dark to the end.
        dark_ms: time in which any of its shards was dark.
        beyond_witness_ms: of that, while the witness was served there; null without
            a witness.
        longest_ms: longest time that one of its shards was dark.
        failed: failed arrivals by outcome.
        raised: operations that the client ended with an error.
        worst_response_ms: of served and late arrivals; null without any.
        is_hiding: the witness was dark, and the client said nothing.
        amplifies: "attempts", "connects", "refreshes": those far above the rest.
        rates: while anything was dark.
        rates_at_rest: in all other seconds of the run.
        blind_ms: time in which it was blind meanwhile.
    """

    lane: str
    rank: int | None
    recovered_ms: float | None
    dark_ms: Bounds
    beyond_witness_ms: Bounds | None
    longest_ms: float
    failed: dict[str, int]
    raised: int
    worst_response_ms: float | None
    is_hiding: bool
    amplifies: list[str]
    rates: ClientRates
    rates_at_rest: ClientRates
    blind_ms: float


class ClientComparison(msgspec.Struct, frozen=True):
    """Client lanes beside each other in one change, or in an incident of its own.

    ``rows`` begin with the witnesses; then come the clients by rank.
    """

    about: str
    start_unix_ns: int
    end_unix_ns: int
    rows: list[ClientRow]
