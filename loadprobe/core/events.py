"""Facts that happen beside the load: phases, provider events, topology, own stalls.

Pure values. Everything that is not an arrival reaches the journal as an ``Event``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One line of ``events.ndjson``.

    Args:
        mono_ns: when it happened (or was seen), monotonic.
        source: "run", "controller", "provider", "topology", "probe" or "operator".
        kind: what happened, for example "phase", "role_change", "stall".
        fields: what belongs to it; plain values only, never a secret.
    """

    mono_ns: int
    source: str
    kind: str
    fields: Mapping[str, object] = field(default_factory=dict)


Emit = Callable[[Event], None]
