"""Lines of the controller: scenarios, steps, and the phases of a change."""

from loadprobe.core.events import (
    CallAccepted,
    CallBegun,
    CallEvident,
    CompletionTold,
    CopyCaughtUp,
    CopySeen,
    EndpointFollowed,
    EndpointSeen,
    ExecEnded,
    ExecLine,
    FullCopyBegun,
    FullCopyDone,
    HoldBegun,
    LanesBegun,
    LanesMoved,
    LaneWentOver,
    MutationFailed,
    MutationSettled,
    PhaseDetails,
    PhaseEntered,
    PrimaryPromoted,
    ReplicasRecovered,
    ScenarioBegun,
    ScenarioEnded,
    StatusChanging,
    StepBegun,
    StepEnded,
    StepProblem,
    TokenMade,
    WritesResumed,
    WritesStopped,
)
from loadprobe.core.steps import ScenarioState, StepState
from tests.support.event_lines import AT, Line

PHASE = '"step":"f","operation":"failover","shard":"0001","phase":'


def phase(details: PhaseDetails) -> PhaseEntered:
    """Return that a step enters a phase."""
    return PhaseEntered(AT, "f", "failover", "0001", details)


CONTROLLER_LINES: list[Line] = [
    (
        ScenarioBegun(AT, "s"),
        "controller",
        "scenario",
        '{"name":"s","state":"begun","reason":""}',
    ),
    (
        ScenarioEnded(AT, "s", ScenarioState.ABORTED, "why"),
        "controller",
        "scenario",
        '{"name":"s","state":"aborted","reason":"why"}',
    ),
    (
        StepBegun(AT, "f", "failover"),
        "controller",
        "step",
        '{"step":"f","operation":"failover","state":"begun","reason":""}',
    ),
    (
        StepEnded(AT, "f", "failover", StepState.SETTLED, ""),
        "controller",
        "step",
        '{"step":"f","operation":"failover","state":"settled","reason":""}',
    ),
    (HoldBegun(AT, 7.5), "controller", "hold", '{"seconds":7.5}'),
    (
        EndpointSeen(AT, "h", 1, tls=True, state="cut", reason="reset", gap_ms=None),
        "controller",
        "endpoint",
        '{"host":"h","port":1,"tls":true,"state":"cut","reason":"reset","gap_ms":null}',
    ),
    (
        ExecLine(AT, "x", "stdout", "hello"),
        "controller",
        "exec",
        '{"step":"x","stream":"stdout","line":"hello"}',
    ),
    (
        ExecEnded(AT, "x", exit_code=-9, lines=3, kept=2),
        "controller",
        "exec",
        '{"step":"x","exit_code":-9,"lines":3,"kept":2}',
    ),
    (
        TokenMade(AT, "x", "made"),
        "controller",
        "token",
        '{"step":"x","text":"made"}',
    ),
    (
        LanesBegun(AT, "x", "late"),
        "controller",
        "lanes_begun",
        '{"step":"x","text":"late"}',
    ),
    (
        StepProblem(AT, "x", "why"),
        "controller",
        "problem",
        '{"step":"x","text":"why"}',
    ),
    (
        CopySeen(AT, "x", "syncing rdb", 5, 10, None),
        "controller",
        "copy",
        (
            '{"step":"x","state":"syncing rdb","done_bytes":5,"all_bytes":10,'
            '"lag_bytes":null}'
        ),
    ),
    (
        LaneWentOver(AT, "x", "tcp", 10, lost=1, overwritten=2, unread=None),
        "controller",
        "went_over",
        (
            '{"step":"x","lane":"tcp","checked":10,"lost":1,"overwritten":2,'
            '"unread":null}'
        ),
    ),
    *(
        (phase(details), "controller", "phase", f"{{{PHASE}{rest}}}")
        for details, rest in (
            (CallBegun("Call()"), '"api_call","call":"Call()"'),
            (
                CallAccepted("id", 1.5, 2, provider_offset_ms=None),
                (
                    '"accepted","request_id":"id","call_ms":1.5,"attempts":2,'
                    '"provider_offset_ms":null'
                ),
            ),
            (
                CallEvident("event", "lost"),
                '"accepted","evidence":"event","reason":"lost"',
            ),
            (StatusChanging("modifying"), '"modifying","status":"modifying"'),
            (
                PrimaryPromoted("a", "b"),
                '"promoted","from_node":"a","to_node":"b"',
            ),
            (
                EndpointFollowed("a", "b", 50.5),
                (
                    '"endpoint_moved","from_addresses":"a","to_addresses":"b",'
                    '"gap_ms":50.5'
                ),
            ),
            (
                CompletionTold(1, "done", None),
                (
                    '"provider_completed","date_unix_ns":1,"message":"done",'
                    '"to_cluster":null'
                ),
            ),
            (MutationSettled(), '"settled"'),
            (ReplicasRecovered(), '"replicas_recovered"'),
            (MutationFailed("why"), '"failed","reason":"why"'),
            (FullCopyBegun("riot"), '"copy_begun","tool":"riot"'),
            (FullCopyDone(), '"copy_done"'),
            (CopyCaughtUp(None), '"caught_up","lag_bytes":null'),
            (WritesStopped(), '"writes_held"'),
            (LanesMoved("db:1"), '"lanes_moved","endpoint":"db:1"'),
            (WritesResumed(), '"writes_resumed"'),
        )
    ),
]
