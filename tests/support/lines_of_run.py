"""Lines of a run itself: its course, its probe, its configuration, marks."""

from loadprobe.core.events import (
    ClockStepped,
    ConfigReloaded,
    CredentialsChanged,
    LaneWoken,
    LoadRestrained,
    LoginsRenewed,
    MarkMade,
    ProbeDied,
    ProbeStalled,
    RateChanged,
    ReloadRefused,
    RunContinued,
    RunEnded,
    RunProblem,
    RunStalled,
    RunStarted,
)
from tests.support.event_lines import AT, Line

RUN_LINES: list[Line] = [
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
]
