"""All kinds of events. Pure."""

from collections.abc import Callable
from typing import Any

import msgspec

from loadprobe.core.events.controller import (
    CopySeen,
    EndpointSeen,
    ExecEnded,
    ExecLine,
    HoldBegun,
    LanesBegun,
    LaneWentOver,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
    StepProblem,
    TokenMade,
)
from loadprobe.core.events.credentials import (
    ConfigReloaded,
    CredentialsChanged,
    LoginsRenewed,
    ReloadRefused,
)
from loadprobe.core.events.maintenance import (
    GroupStatusSeen,
    MaintenanceBegun,
    MaintenanceOver,
    UpdateSeen,
    WindowSeen,
)
from loadprobe.core.events.phases import PhaseEntered
from loadprobe.core.events.provider import ProviderTold
from loadprobe.core.events.reach import (
    ForwardRefused,
    NodeForwarded,
    NodeReached,
    NodeUnreached,
    TunnelAnswered,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
)
from loadprobe.core.events.run import (
    ClockStepped,
    LaneWoken,
    LoadRestrained,
    MarkMade,
    ProbeDied,
    ProbeStalled,
    RateChanged,
    RunContinued,
    RunEnded,
    RunProblem,
    RunStalled,
    RunStarted,
)
from loadprobe.core.events.topology import (
    EndpointLost,
    EndpointMoved,
    EpochRaised,
    NodeAdded,
    NodeRemoved,
    NodeStateSeen,
    RoleChanged,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
)


class UnknownEvent(msgspec.Struct, frozen=True):
    """A line of a kind that this version does not know: kept, and shown.

    Args:
        mono_ns: as in the line.
        source: as in the line.
        kind: as in the line.
        fields: as in the line.
    """

    mono_ns: int
    source: str
    kind: str
    fields: dict[str, Any]


KnownEvent = (
    RunStarted
    | RunContinued
    | ClockStepped
    | RunEnded
    | RunProblem
    | RunStalled
    | RateChanged
    | LoadRestrained
    | LaneWoken
    | ConfigReloaded
    | ReloadRefused
    | CredentialsChanged
    | LoginsRenewed
    | ProbeStalled
    | ProbeDied
    | MarkMade
    | ProviderTold
    | RoleChanged
    | SlotsMoved
    | ShardAdded
    | ShardRemoved
    | NodeAdded
    | NodeRemoved
    | NodeStateSeen
    | EpochRaised
    | EndpointMoved
    | EndpointLost
    | ForwardRefused
    | NodeForwarded
    | NodeReached
    | NodeUnreached
    | TunnelBroken
    | TunnelOpened
    | TunnelStalled
    | TunnelAnswered
    | ScenarioBegun
    | ScenarioEnded
    | StepBegun
    | StepEnded
    | HoldBegun
    | PhaseEntered
    | EndpointSeen
    | ExecLine
    | ExecEnded
    | TokenMade
    | LanesBegun
    | CopySeen
    | LaneWentOver
    | StepProblem
    | WindowSeen
    | UpdateSeen
    | GroupStatusSeen
    | MaintenanceBegun
    | MaintenanceOver
)

Event = KnownEvent | UnknownEvent

Emit = Callable[[Event], None]
