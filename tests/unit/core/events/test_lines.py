"""Lines of the journal: what each kind looks like, and what becomes of others."""

from typing import Any, get_args

import orjson
import pytest

from loadprobe.core.events import (
    CallAccepted,
    CallBegun,
    CallEvident,
    ClockStepped,
    CompletionTold,
    ConfigReloaded,
    CopyCaughtUp,
    CopySeen,
    CredentialsChanged,
    EndpointFollowed,
    EndpointLost,
    EndpointMoved,
    EndpointSeen,
    EpochRaised,
    Event,
    ExecEnded,
    ExecLine,
    ForwardRefused,
    FullCopyBegun,
    FullCopyDone,
    GroupStatusSeen,
    HoldBegun,
    KnownEvent,
    LanesBegun,
    LanesMoved,
    LaneWentOver,
    LaneWoken,
    LoadRestrained,
    LoginsRenewed,
    MaintenanceBegun,
    MaintenanceOver,
    MarkMade,
    MutationFailed,
    MutationSettled,
    NodeAdded,
    NodeForwarded,
    NodeReached,
    NodeRemoved,
    NodeStateSeen,
    NodeUnreached,
    PhaseDetails,
    PhaseEntered,
    PrimaryPromoted,
    ProbeDied,
    ProbeStalled,
    ProviderTold,
    RateChanged,
    ReloadRefused,
    ReplicasRecovered,
    RoleChanged,
    RunContinued,
    RunEnded,
    RunProblem,
    RunStalled,
    RunStarted,
    ScenarioBegun,
    ScenarioEnded,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
    StatusChanging,
    StepBegun,
    StepEnded,
    StepProblem,
    TokenMade,
    TunnelAnswered,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
    UnknownEvent,
    UpdateSeen,
    WindowSeen,
    WritesResumed,
    WritesStopped,
)
from loadprobe.core.events.lines import PlainEvent, plain, read
from loadprobe.core.steps import ScenarioState, StepState

AT = 5
PHASE = '"step":"f","operation":"failover","shard":"0001","phase":'


def phase(details: PhaseDetails) -> PhaseEntered:
    """Return that a step enters a phase."""
    return PhaseEntered(AT, "f", "failover", "0001", details)


LINES: list[tuple[Event, str, str, str]] = [
    (RunStarted(AT, "night"), "run", "started", '{"name":"night"}'),
    (RunEnded(AT, "clean"), "run", "ended", '{"state":"clean"}'),
    (RunProblem(AT, "why"), "run", "problem", '{"text":"why"}'),
    (RunStalled(AT, 1500.5), "run", "stall", '{"duration_ms":1500.5}'),
    (
        RateChanged(AT, "tls", 100.0, 500.0, 2.0, "quiet"),
        "run",
        "rate",
        '{"lane":"tls","from_per_s":100.0,"to_per_s":500.0,"ramp_s":2.0,"reason":"quiet"}',
    ),
    (
        LoadRestrained(AT, 0.5, ("cpu", "steal")),
        "run",
        "restraint",
        '{"share":0.5,"strains":["cpu","steal"]}',
    ),
    (LaneWoken(AT, "tls"), "run", "lane_woken", '{"lane":"tls"}'),
    (
        ProbeStalled(AT, 1, 12.5),
        "probe",
        "stall",
        '{"process":1,"duration_ms":12.5}',
    ),
    (
        ProbeDied(AT, 1, "signal 9"),
        "probe",
        "died",
        '{"process":1,"cause":"signal 9"}',
    ),
    (
        MarkMade(AT, "deploy", by="token"),
        "operator",
        "mark",
        '{"message":"deploy","by":"token"}',
    ),
    (
        ProviderTold(
            AT,
            date_unix_ns=1,
            seen_unix_ns=2,
            message="completed",
            source_identifier="rg-0001-002",
            source_type="cache-cluster",
            meaning="failover_completed",
            node_group="0001",
            to_node="rg-0001-002",
            failover_id="0001#1",
        ),
        "provider",
        "provider_event",
        (
            '{"date_unix_ns":1,"seen_unix_ns":2,"message":"completed",'
            '"source_identifier":"rg-0001-002","source_type":"cache-cluster",'
            '"kind":"failover_completed","node_group":"0001","from_node":null,'
            '"to_node":"rg-0001-002","failover_id":"0001#1"}'
        ),
    ),
    (
        RoleChanged(AT, "0001", "a -> b"),
        "topology",
        "role_change",
        '{"shard":"0001","detail":"a -> b"}',
    ),
    (
        SlotsMoved(AT, "0001", "9 -> 5 slots"),
        "topology",
        "slots_moved",
        '{"shard":"0001","detail":"9 -> 5 slots"}',
    ),
    (
        SlotsMoved(AT, "0002", "5 -> 9 slots", gained=4),
        "topology",
        "slots_moved",
        '{"shard":"0002","detail":"5 -> 9 slots","gained":4}',
    ),
    (
        ShardAdded(AT, "0003", "a", gained=4),
        "topology",
        "shard_added",
        '{"shard":"0003","detail":"a","gained":4}',
    ),
    (
        ShardRemoved(AT, "0003", "a"),
        "topology",
        "shard_removed",
        '{"shard":"0003","detail":"a"}',
    ),
    (
        NodeAdded(AT, "0001", "a"),
        "topology",
        "node_added",
        '{"shard":"0001","detail":"a"}',
    ),
    (
        NodeRemoved(AT, "0001", "a"),
        "topology",
        "node_removed",
        '{"shard":"0001","detail":"a"}',
    ),
    (
        NodeStateSeen(AT, "a", "silent", "no answer"),
        "topology",
        "cluster_state",
        '{"node":"a","state":"silent","reason":"no answer"}',
    ),
    (EpochRaised(AT, 7, 6), "topology", "epoch", '{"epoch":7,"previous":6}'),
    (
        EndpointMoved(AT, "db", "a", "b", 50.5),
        "topology",
        "endpoint_moved",
        '{"host":"db","from_addresses":"a","to_addresses":"b","gap_ms":50.5}',
    ),
    (
        EndpointLost(AT, "db", "unknown"),
        "topology",
        "endpoint_lost",
        '{"host":"db","reason":"unknown"}',
    ),
    (
        NodeUnreached(AT, "a:1", "", "no entry", 5.5),
        "reach",
        "node_unreached",
        '{"node":"a:1","shard":"","reason":"no entry","known_ms":5.5}',
    ),
    (
        NodeReached(AT, "a:1", is_gone=True),
        "reach",
        "node_reached",
        '{"node":"a:1","is_gone":true}',
    ),
    (
        TunnelBroken(AT, "b", "closed", 5.5),
        "tunnel",
        "broken",
        '{"to":"b","reason":"closed","silent_ms":5.5}',
    ),
    (TunnelOpened(AT, "b", 5.5), "tunnel", "opened", '{"to":"b","broken_ms":5.5}'),
    (TunnelStalled(AT, "b", 5.5), "tunnel", "stalled", '{"to":"b","silent_ms":5.5}'),
    (
        TunnelAnswered(AT, "b", 5.5),
        "tunnel",
        "answered",
        '{"to":"b","stalled_ms":5.5}',
    ),
    (
        NodeForwarded(AT, "a:1", "0001", 5000, 5.5),
        "tunnel",
        "forwarded",
        '{"node":"a:1","shard":"0001","local_port":5000,"waited_ms":5.5}',
    ),
    (
        ForwardRefused(AT, "", "prohibited"),
        "tunnel",
        "forward_refused",
        '{"node":"","reason":"prohibited"}',
    ),
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
    (
        WindowSeen(AT, "sun:23:00-mon:01:30", None),
        "maintenance",
        "window",
        '{"window":"sun:23:00-mon:01:30","next_start_unix_ns":null}',
    ),
    (
        UpdateSeen(AT, "fix-1", "important", "complete", "in-progress", 5),
        "maintenance",
        "update",
        (
            '{"name":"fix-1","severity":"important","status":"complete",'
            '"previous":"in-progress","apply_by_unix_ns":5}'
        ),
    ),
    (
        GroupStatusSeen(AT, "modifying", "available"),
        "maintenance",
        "group_status",
        '{"status":"modifying","previous":"available"}',
    ),
    (
        MaintenanceBegun(AT, 1, "why", 5),
        "maintenance",
        "begun",
        '{"number":1,"reason":"why","start_unix_ns":5}',
    ),
    (
        MaintenanceOver(AT, 1, "why", 5, 9, 3, 0, 0.0, 0.0, 0.0, "nobody noticed"),
        "maintenance",
        "over",
        (
            '{"number":1,"reason":"why","start_unix_ns":5,"end_unix_ns":9,"signs":3,'
            '"outages":0,"dark_ms":0.0,"lower_ms":0.0,"upper_ms":0.0,'
            '"verdict":"nobody noticed"}'
        ),
    ),
    (
        CredentialsChanged(AT, ("password",), "file"),
        "run",
        "credentials_changed",
        '{"what":["password"],"by":"file"}',
    ),
    (
        LoginsRenewed(AT, "tcp", 0, 3, 1, "WRONGPASS"),
        "run",
        "logins_renewed",
        '{"lane":"tcp","process":0,"renewed":3,"refused":1,"reason":"WRONGPASS"}',
    ),
    (
        RunContinued(AT, 2, 1.5, True, False, None, 40, 2),
        "run",
        "continued",
        (
            '{"segment":2,"blind_ms":1.5,"was_killed":true,"is_other_boot":false,'
            '"wall_step_ms":null,"writes_checked":40,"writes_lost":2,'
            '"writes_expired":0,"by_reload":false}'
        ),
    ),
    (
        ConfigReloaded(AT, ("slo.availability", "lanes.b"), "signal", ("lanes.b",)),
        "run",
        "config_reloaded",
        '{"changed":["slo.availability","lanes.b"],"by":"signal","anew":["lanes.b"]}',
    ),
    (
        ReloadRefused(AT, "why", "signal"),
        "run",
        "reload_refused",
        '{"reason":"why","by":"signal"}',
    ),
    (ClockStepped(AT, -2.5), "run", "clock_stepped", '{"by_ms":-2.5}'),
    (UnknownEvent(AT, "moon", "rises", {"at": 1}), "moon", "rises", '{"at":1}'),
]


@pytest.mark.parametrize(
    ("event", "source", "kind", "fields"),
    LINES,
    ids=[type(getattr(row[0], "details", row[0])).__name__ for row in LINES],
)
def test_format(event: Event, source: str, kind: str, fields: str) -> None:
    """Each kind is written as it always was, to the byte, and read back as itself."""
    told = plain(event)
    assert (told.source, told.kind) == (source, kind)
    assert orjson.dumps(told.fields).decode() == fields
    assert read(AT, PlainEvent(source, kind, orjson.loads(fields))) == (event, {})


def test_all_kinds_are_here() -> None:
    """Whoever adds a kind, or a phase, says here what its line looks like."""
    events = [event for event, *_ in LINES]
    assert {type(event) for event in events} == {*get_args(KnownEvent), UnknownEvent}
    phases = {type(e.details) for e in events if isinstance(e, PhaseEntered)}
    assert phases == {*get_args(PhaseDetails)}


@pytest.mark.parametrize(
    ("source", "kind", "fields"),
    [
        ("run", "restarted", {"name": "x"}),
        ("probe", "started", {"name": "x"}),
        ("controller", "exec/line", {"line": "x"}),
        ("controller", "phase", {"phase": "rested"}),
        ("controller", "phase", {"phase": "accepted/evident"}),
        ("controller", "phase", {"phase": ["settled"]}),
        ("controller", "phase", {}),
        ("", "", {}),
    ],
)
def test_an_unknown_kind_is_kept(
    source: str, kind: str, fields: dict[str, Any]
) -> None:
    """A line that another version wrote is an event, and is written as it was."""
    line = PlainEvent(source, kind, fields)
    event, unknown = read(AT, line)
    assert isinstance(event, UnknownEvent)
    assert unknown == {}
    assert plain(event) == line


@pytest.mark.parametrize(
    ("kind", "fields", "event"),
    [
        (
            "phase",
            {"step": "f", "operation": "x", "shard": None, "phase": "settled"},
            PhaseEntered(AT, "f", "x", None, MutationSettled()),
        ),
        ("hold", {"seconds": 3.0}, HoldBegun(AT, 3.0)),
    ],
)
def test_an_unknown_field_is_kept(
    kind: str, fields: dict[str, Any], event: Event
) -> None:
    """What a line holds beyond its kind is given back beside the event."""
    more = {"event": "x", "mono_ns": 9, "details": {"call": "y"}, "evidence": "z"}
    line = PlainEvent("controller", kind, {**fields, **more})
    assert read(AT, line) == (event, more)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (
            "step",
            {"step": "f", "state": "settled", "reason": ""},
            "event 'step' of 'controller': Object missing required field `operation`",
        ),
        (
            "step",
            {"step": "f", "operation": "x", "state": "resting", "reason": ""},
            "event 'step' of 'controller': Invalid enum value 'resting' - at `$.state`",
        ),
        (
            "hold",
            {"seconds": "many"},
            (
                "event 'hold' of 'controller': Expected `float`, got `str` - "
                "at `$.seconds`"
            ),
        ),
        (
            "phase",
            {"step": "f", "operation": "x", "shard": None, "phase": "api_call"},
            (
                "event 'phase' of 'controller': Object missing required field `call` - "
                "at `$.details`"
            ),
        ),
    ],
)
def test_what_is_wrong_is_named(
    kind: str, fields: dict[str, Any], message: str
) -> None:
    """A field that is missing, or is not what it should be, is named with its kind."""
    with pytest.raises(ValueError, match="^event") as caught:
        read(AT, PlainEvent("controller", kind, fields))
    assert str(caught.value) == message
