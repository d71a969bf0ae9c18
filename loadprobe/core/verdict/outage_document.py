"""What outages.json holds. Pure; times are UNIX nanoseconds or milliseconds."""

import msgspec


class OutageFields(msgspec.Struct, frozen=True):
    """What is told of an outage, in outages.json and while the run lasts."""

    lane: str
    shard: str
    op: str
    start_unix_ns: int
    end_unix_ns: int
    duration_ms: float
    lower_ms: float
    upper_ms: float
    unseen_ms: float
    probe_gap_ms: float
    failed: int
    classes: dict[str, int]
    outcomes: dict[str, int]
    attribution: str
    evidence: str


class OutageRow(OutageFields, frozen=True):
    """One outage in outages.json."""

    incident: int
    open_start: bool
    open_end: bool


class OutageList(msgspec.Struct, frozen=True):
    """The content of outages.json.

    ``connects`` has those of new connections; they belong to no incident (0).
    """

    schema_version: int
    outages: list[OutageRow]
    connects: list[OutageRow] = []
