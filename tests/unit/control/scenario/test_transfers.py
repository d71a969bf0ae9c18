"""Steps that move data and lanes: their keys, their plan, and what they do."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from loadprobe.config.keys import Tunnel
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.provider import known_calls
from loadprobe.control.scenario import transferring
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.file import Scenario, parse_scenario
from loadprobe.control.scenario.known_steps import check_known
from loadprobe.control.scenario.lanes import LaneEndpoints
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep
from loadprobe.control.scenario.transfer_plan import check_transfers, told_transfer
from loadprobe.control.scenario.transferring import Transferring
from loadprobe.core.events import LaneWentOver
from loadprobe.core.steps import StepState
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.errors import ConfigError, ControlError, PreflightError
from tests.support.scenario_stage import CONFIG, PLAIN, Stage, group_of, state_of

GROUP = group_of(3)
STATE = state_of(GROUP)


def parsed(*steps: str) -> Scenario:
    """Parse a scenario of steps, each "operation; key = value; ..."."""
    sections = []
    for step in steps:
        operation, *keys = step.split("; ")
        sections.append("\n".join(["[[steps]]", f'operation = "{operation}"', *keys]))
    text = "\n".join(['description = "x"', "baseline_s = 0", "after_s = 0", *sections])
    return parse_scenario(text, where="s.toml", name="s")


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ('copy; tool = "command"', "steps[0].command: missing"),
        ('copy; tool = "riot"; command = ["x"]', "only of command, not of riot"),
        ('copy; tool = "redis-cli"; method = "rdb"', 'goes with method = "rdb"'),
        ('copy; tool = "redis-cli"; file = "x"', 'goes with method = "rdb"'),
        ('copy; tool = "redis-cli"; per_shard = true', "only of redis-shake"),
        ('copy; tool = "riot"; live = true', "goes with live = true"),
        ('copy; tool = "command"; command = ["x"]; arguments = ["y"]', "are part of"),
        (
            'copy; tool = "command"; command = ["x"]; caught_up = "("',
            "is no regular expression",
        ),
        ("cutover; target_tls = true", "belong to a target_host"),
        (
            'cutover; writers = "at_once"; catch_up_s = 1',
            'only with writers = "drained"',
        ),
        (
            'cutover; target_password_file = "a"; target_password_env = "b"',
            "one of them",
        ),
        ('cutover; target_password = "a"', "unknown key"),
    ],
)
def test_keys_that_do_not_fit(step: str, problem: str) -> None:
    """Each is refused with its place."""
    with pytest.raises(ConfigError) as caught:
        parsed(step)
    assert problem in str(caught.value)
    assert "s.toml: steps[0]" in str(caught.value)


def test_what_is_told_before() -> None:
    """Where from, where to, by what, when."""
    told = [
        told_transfer(DrainStep(operation="drain"), GROUP),
        told_transfer(CopyStep(operation="copy", tool="redis-shake"), GROUP),
        told_transfer(
            CopyStep(operation="copy", tool="command", command=("do", "it")), GROUP
        ),
        told_transfer(CutoverStep(operation="cutover", writers="at_once"), GROUP),
        told_transfer(CutoverStep(operation="cutover", target_host="db"), GROUP),
    ]
    assert told == [
        "the lanes read only, until they are led elsewhere",
        f"copy the source to the group {GROUP.id} by redis-shake",
        f"copy the source to the group {GROUP.id} by do it",
        f"the lanes go over to the group {GROUP.id} at once",
        "the lanes go over to db once nothing is written any more",
    ]


def test_a_program_that_is_not_there() -> None:
    """It is missed before anything is changed."""
    scenario = parsed('copy; tool = "redis-shake"; program = "/nowhere/redis-shake"')
    with pytest.raises(PreflightError, match="there is no program '/nowhere/redis-"):
        check_transfers(scenario, (), STATE, target=CONFIG.target)


def test_a_lane_that_would_stay_behind() -> None:
    """The target has one transport; a lane of the other one has nowhere to go."""
    with pytest.raises(PreflightError, match=r"lane tls is of TLS: it would stay"):
        check_transfers(parsed("cutover"), CONFIG.lanes, STATE, target=CONFIG.target)
    plain = [lane for lane in CONFIG.lanes if not lane.tls]
    check_transfers(parsed("cutover"), plain, STATE, target=CONFIG.target)


@pytest.mark.parametrize(
    "step", ["cutover", 'copy; tool = "command"; command = ["true"]']
)
def test_a_tunnel_leads_to_one_cluster(step: str) -> None:
    """It is said before anything is copied, or led to where nothing leads."""
    plain = [lane for lane in CONFIG.lanes if not lane.tls]
    target = msgspec.structs.replace(CONFIG.target, tunnel=Tunnel("user@bastion"))
    with pytest.raises(PreflightError, match="nodes of one cluster only"):
        check_transfers(parsed(step), plain, STATE, target=target)
    check_transfers(parsed(step), plain, STATE, target=CONFIG.target)


def only_plain(stage: Stage) -> None:
    """Leave the stage with its plaintext lane."""
    lanes = tuple(lane for lane in CONFIG.lanes if not lane.tls)
    stage.config = msgspec.structs.replace(stage.config, lanes=lanes)
    stage.lanes.lanes = lanes


def asked(stage: Stage) -> Sequence[str]:
    """Return what was asked of the lanes."""
    return [what for _, what in stage.lanes.asked]


def test_a_cut_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes are held, the lanes are led over, writes go on; in this order."""
    stage = Stage(monkeypatch, GROUP)
    only_plain(stage)
    record = stage.run(parsed("drain", "cutover"))
    assert [step.state for step in record.steps] == [StepState.SETTLED] * 2
    over = f"tcp over to {PLAIN.host}:{PLAIN.port}"
    assert asked(stage) == ["writes held", "writes held", over, "writes go on"]
    (went,) = record.steps[1].went_over
    assert (went.lane, went.checked, went.lost) == ("tcp", 2, 1)
    assert [e.lost for e in stage.events if isinstance(e, LaneWentOver)] == [1]
    phases = list(record.steps[1].phases_ns)
    assert phases == [
        "begun",
        "writes_held",
        "lanes_moved",
        "writes_resumed",
        "settled",
    ]


def test_writes_are_let_go_on_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only drains does not stop the writes for ever."""
    stage = Stage(monkeypatch, GROUP)
    only_plain(stage)
    stage.run(parsed("drain"))
    assert asked(stage) == ["writes held", "writes go on"]


def test_the_password_of_the_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A group with a token is not gone over to without it."""
    file = tmp_path / "token"
    file.write_text("the-token-of-the-target\n")
    guarded = replace(GROUP, has_auth=True)
    stage = Stage(monkeypatch, guarded)
    only_plain(stage)
    record = stage.run(parsed("cutover"))
    assert "has an AUTH token" in record.steps[0].reason
    assert asked(stage) == []
    stage = Stage(monkeypatch, guarded)
    only_plain(stage)
    stage.run(parsed(f'cutover; target_password_file = "{file}"'))
    assert stage.lanes.passwords == ["the-token-of-the-target"]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"cluster": False}, "the group runs in cluster mode and the source does not"),
        ({"password_file": "secret"}, "needs one without AUTH"),
        ({"tls_only": True}, "needs plaintext there"),
    ],
)
def test_a_source_that_cannot_be_followed(
    keys: dict[str, object], problem: str
) -> None:
    """What our own lanes know of it is told before the call; of others nothing is."""
    given = dict(keys)
    is_tls = bool(given.pop("tls_only", False))
    target = msgspec.structs.replace(CONFIG.target, **given)
    lanes = [lane for lane in CONFIG.lanes if lane.tls == is_tls]
    own = parsed(f'migrate_start; source_host = "{target.host}"')
    with pytest.raises(PreflightError, match=problem):
        check_transfers(own, lanes, STATE, target=target)
    other = parsed('migrate_start; source_host = "elsewhere"')
    check_transfers(other, lanes, STATE, target=target)


def test_snapshots_are_in_s3(tmp_path: Path) -> None:
    """ElastiCache reads nothing else; a local control plane reads files."""
    scenario = parsed(f'seed; node_type = "small"; snapshots = ["{tmp_path}/a.rdb"]')
    with pytest.raises(PreflightError, match="is no ARN of a file in S3"):
        check_transfers(scenario, (), STATE, target=CONFIG.target)
    check_transfers(scenario, (), STATE, target=CONFIG.target, is_local=True)
    arn = "arn:aws-cn:s3:::bucket/folder/a.rdb"
    scenario = parsed(f'seed; node_type = "small"; snapshots = ["{arn}"]')
    check_transfers(scenario, (), STATE, target=CONFIG.target)


def test_a_seed_comes_first_or_after_what_is_about_the_source() -> None:
    """Else the group is there already."""
    seed = 'seed; node_type = "small"; snapshots = ["a.rdb"]'
    parsed("drain", seed, "cutover")
    with pytest.raises(ConfigError, match='"seed" can only be the first step'):
        parsed("drain", seed)
    with pytest.raises(ConfigError, match='"seed" can only be the first step'):
        parsed("failover", seed, "cutover")


@pytest.mark.parametrize(
    "step",
    ['durability; mode = "async"', 'create; node_type = "s"; durability = "sync"'],
)
def test_what_the_installed_botocore_does_not_know(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It is told which one does, before anything is changed."""
    scenario = parsed(step)
    monkeypatch.setattr(known_calls, "takes", lambda _operation, _argument: False)
    with pytest.raises(
        PreflightError, match=r"does not know Durability .* 1\.44\.8 do"
    ):
        check_known(scenario)
    monkeypatch.setattr(known_calls, "takes", lambda _operation, _argument: True)
    check_known(scenario)


def test_what_botocore_knows() -> None:
    """By its own service model."""
    assert known_calls.takes("CreateReplicationGroup", "SnapshotArns")
    assert not known_calls.takes("CreateReplicationGroup", "Nothing")
    assert not known_calls.takes("NoSuchCall", "SnapshotArns")


def test_one_process_for_each_shard_of_the_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each has the primary as its source, and a status port of its own."""
    told = tmp_path / "told"
    stub = tmp_path / "redis-shake"
    stub.write_text(  # none ends before the other one has begun
        f'#!/bin/sh\ngrep -e "^address" -e status_port "$1" >> {told}\n'
        f"while [ $(grep -c status_port {told}) -lt 2 ]; do sleep 0.01; done\n"
    )
    stub.chmod(0o755)
    nodes = [Node(f"n{number}", "10.0.0.1", 7000 + number) for number in (1, 2)]
    shards = [Shard(f"000{n.id[1]}", ((0, 1),), n, (), epoch=1) for n in nodes]
    topology = SimpleNamespace(current=Topology(tuple(shards)))
    stage = Stage(monkeypatch, GROUP)
    only_plain(stage)
    around = replace(stage.around(), topology=topology)
    transferring = Transferring(
        around,
        LaneEndpoints(parsed("cutover"), around.config.target, stage.lanes),
        Brake(),
    )
    step = CopyStep(
        operation="copy", tool="redis-shake", program=str(stub), per_shard=True
    )

    async def copy() -> None:
        phases = Phases("copy", "copy", stage.events.append)
        try:
            with pytest.raises(ControlError, match="ended with exit code 0"):
                await transferring.take(step, phases, GROUP)
        finally:
            await transferring.close()

    asyncio.run(copy())
    lines = told.read_text().splitlines()
    sources = {line for line in lines if "10.0.0.1" in line}
    assert sources == {'address = "10.0.0.1:7001"', 'address = "10.0.0.1:7002"'}
    assert lines.count(f'address = "{PLAIN.host}:{PLAIN.port}"') == 2
    assert len({line for line in lines if "status_port" in line}) == 2


@pytest.mark.parametrize(
    ("step", "withheld"),
    [
        ('copy; tool = "redis-shake"', {"OUR_PASSWORD", "AWS_SECRET_ACCESS_KEY"}),
        ('copy; tool = "command"; command = ["true"]', {"OUR_PASSWORD"}),
    ],
)
def test_a_tool_inherits_no_secret(
    step: str, withheld: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's command may have a use for those of the SDK."""
    given: list[object] = []

    class Done:
        failure, is_done, follows = "", True, False
        course = SimpleNamespace(has_begun=True, is_copied=True)

        def __init__(self, *_: object, **more: object) -> None:
            given.append(more["withheld"])

        async def begin(self) -> None:
            """Do nothing."""

        end = begin

    monkeypatch.setattr(transferring, "Copying", Done)
    stage = Stage(monkeypatch, GROUP)
    only_plain(stage)
    stage.withheld = frozenset({"OUR_PASSWORD", "AWS_SECRET_ACCESS_KEY"})
    record = stage.run(parsed(step))
    assert record.steps[0].state is StepState.SETTLED, record.steps[0].reason
    assert given == [withheld]
