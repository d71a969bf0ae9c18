"""What a scenario is going to do is told ahead, and what cannot work is refused."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Config, Control, Lane, Target
from loadprobe.control.provider.replies import EngineVersion, ProviderRecord
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.provider.state import ABSENT, GroupState
from loadprobe.control.scenario.file import load_scenario, shipped
from loadprobe.control.scenario.rehearsal import (
    changes_existing_group,
    plan_scenario,
    rehearse,
    what_changes,
)
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep
from loadprobe.errors import PreflightError, UsageError
from tests.support.scenario_stage import group_of, stage_scenario, state_of, step

GIVEN = {
    "engine-upgrade": {"version": "7.1"},
    "migration": {"source_host": "10.0.0.5"},
}
FITTING = {
    "auth-rotation": state_of(group_of(3, tls_mode="required")),
    "engine-upgrade": replace(
        state_of(group_of(3)), engine_versions=(EngineVersion("redis", "7.1"),)
    ),
    "seed-rdb": GroupState(replace(group_of(0), status=ABSENT)),
}
"""Groups that a scenario needs to be otherwise than three shards without TLS."""


def called(times: int) -> tuple[ProviderRecord, ...]:
    """Return the events of so many test failovers in the last hours."""
    return tuple(
        ProviderRecord(
            "rg",
            "replication-group",
            -number * 3600 * NS_PER_S,
            "Test Failover API called for node group 0001",
        )
        for number in range(times)
    )


def test_the_whole_plan_of_the_tls_migration() -> None:
    """Calls, holds and expectations stand in their order, with their values."""
    lines = plan_scenario(load_scenario("tls-migration"), state_of(group_of(3)))
    on, off = "TransitEncryptionEnabled=True", "TransitEncryptionEnabled=False"
    modify = "     ModifyReplicationGroup(ReplicationGroupId=rg"
    assert lines == [
        (
            "scenario tls-migration: Switch TLS on and off again: none, preferred, "
            "required, preferred, none"
        ),
        "group rg: 3 shards of 2 nodes, redis 7.0.15 on small, TLS none, available",
        "  load for 10 s, the baseline",
        "  1. preferred: transit encryption to 'preferred'",
        f"{modify}, {on}, TransitEncryptionMode=preferred, ApplyImmediately=True)",
        "     load for 10 s",
        "  2. required: transit encryption to 'required'",
        f"{modify}, {on}, TransitEncryptionMode=required, ApplyImmediately=True)",
        "     load for 10 s",
        "  3. preferred-again: transit encryption to 'preferred'",
        f"{modify}, {on}, TransitEncryptionMode=preferred, ApplyImmediately=True)",
        "     load for 10 s",
        "  4. none-again: transit encryption to 'none'",
        f"{modify}, {off}, ApplyImmediately=True)",
        "     load for 5 s",
        "  load for 10 s at the end",
        'dark by plan: tcp from "required" until "preferred-again" has settled',
        'dark by plan: tls from "none-again" until "preferred" has settled',
        "at the end: at most 0 lost writes, at most 0 wrong replies",
    ]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_scenario_can_be_planned(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For a group that fits, all calls are known ahead; no token is shown or made."""
    monkeypatch.chdir(tmp_path)
    scenario = load_scenario(name, GIVEN.get(name))
    state = FITTING.get(name, state_of(group_of(3)))
    text = "\n".join(plan_scenario(scenario, state))
    calls = text.count("ReplicationGroupId")
    moved = CopyStep | DrainStep | CutoverStep
    assert calls >= sum(not isinstance(step, moved) for step in scenario.steps)
    assert "a-token" not in text
    assert list(tmp_path.iterdir()) == []


def test_steps_that_change_nothing_and_conditions() -> None:
    """Holds, waits and programs are told as well, and what aborts a scenario."""
    lines = plan_scenario(
        stage_scenario(
            step("hold", seconds=60, hold_before_s=2, hold_after_s=0)
            + step("wait", until="migrating", hold_after_s=0)
            + step("exec", hold_after_s=0)
            + 'command = ["ls", "-l"]\n'
            + '[[expected]]\ndark = ["tcp"]\nshard = "0002"\nfrom_step = "exec"\n'
            + "[abort]\nmax_outage_ms = 500\nmax_error_ratio = 0.1\nmax_wrong = 3\n"
            + '[expect]\nmax_lost_writes = "any"\n'
        ),
        state_of(group_of(1)),
    )
    assert lines[3:] == [
        "  load for 2 s",
        "  1. hold: load for 60 s",
        "  2. wait: wait until the group is migrating",
        "  3. exec: run ls -l",
        "  load for 20 s at the end",
        'dark by plan: tcp (shard 0002) from "exec" to the end',
        "at the end: any number of lost writes, at most 0 wrong replies",
        (
            "aborted by: an unplanned outage above 500 ms, a ratio of errors above "
            "0.1, more than 3 wrong replies"
        ),
    ]


def test_a_step_that_is_not_needed() -> None:
    """It is said that nothing will be sent."""
    lines = plan_scenario(
        stage_scenario(step("tls", mode="none")), state_of(group_of(1))
    )
    assert "     nothing to do: it is so already" in lines


def test_a_group_that_is_made() -> None:
    """Steps after a creation are planned for the group as it will be."""
    state = GroupState(replace(group_of(0), status=ABSENT))
    scenario = stage_scenario(
        step("create", node_type="cache.t4g.micro", shards=2)
        + step("scale", shards="+1")
        + step("delete")
    )
    text = "\n".join(plan_scenario(scenario, state))
    assert "group rg, which is not there yet" in text
    assert "NodeGroupCount=3" in text
    assert "DeleteReplicationGroup(" in text
    assert "  rg is deleted whatever ends the run\n" in text
    assert 'dark by plan: all from "delete" to the end' in text
    assert not changes_existing_group(scenario)


def test_a_group_that_is_made_to_stay() -> None:
    """That it costs is told."""
    state = GroupState(replace(group_of(0), status=ABSENT))
    scenario = stage_scenario(step("create", node_type="cache.t4g.micro", keep=True))
    assert "  rg stays when the run ends, and costs" in plan_scenario(scenario, state)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            step("tls", mode="required"),
            (
                "scenario s, step tls: transit encryption to 'required': rg is at "
                "'none'; go by way of 'preferred'"
            ),
        ),
        (
            step("failover", shard="0009"),
            (
                "scenario s, step failover: failover of shard 0009 of rg: rg has no "
                "such node group; known: 0001, 0002"
            ),
        ),
        (
            "repeat = 2\n" + step("scale", shards="-1"),
            (
                "scenario s, step scale#2: number of shards to 0: a group has at least "
                "one shard"
            ),
        ),
        (
            step("node_type", node_type="tiny"),
            (
                "scenario s, step node_type: node type to tiny: not offered for rg; "
                "allowed: huge, large"
            ),
        ),
    ],
)
def test_what_cannot_work_is_refused(text: str, message: str) -> None:
    """A step that a guard will refuse is refused before anything is changed."""
    with pytest.raises(PreflightError) as caught:
        plan_scenario(stage_scenario(text), state_of(group_of(2)))
    assert str(caught.value) == message


@pytest.mark.parametrize(("before", "fits"), [(9, True), (10, False)])
def test_all_failovers_count_ahead(before: int, *, fits: bool) -> None:
    """Rounds x shards and those of the last day must not be more than 15."""
    scenario = stage_scenario("repeat = 2\n" + step("failover", shard="all"))
    state = replace(state_of(group_of(3)), records=called(before))
    if fits:
        assert plan_scenario(scenario, state)
        return
    with pytest.raises(PreflightError) as caught:
        plan_scenario(scenario, state)
    assert str(caught.value) == (
        "scenario s fails 6 shards over; 10 test failovers were called in the last 24 "
        "hours and 15 are allowed; name one shard (shard = ...), lower repeat, or wait"
    )


def test_the_failovers_of_shards_to_come_are_counted() -> None:
    """The group is as large by then as the steps before have made it."""
    text = step("scale", shards=16) + step("failover")
    with pytest.raises(PreflightError, match="fails 16 shards over; 0 test failovers"):
        plan_scenario(stage_scenario(text), state_of(group_of(3)))


def test_who_is_asked() -> None:
    """Only what changes a group that was there before needs a yes."""
    assert changes_existing_group(load_scenario("failover"))
    assert not changes_existing_group(load_scenario("watch"))
    assert not changes_existing_group(stage_scenario(step("hold", seconds=1)))


async def test_a_rehearsal_needs_a_group() -> None:
    """Without a [control] section only watching can be planned."""
    config = Config(target=Target("db"), lanes=(Lane("tcp"),))
    shared = SharedApi()
    lines = await rehearse(config, load_scenario("watch"), shared)
    assert "nothing is changed" in lines[1]
    with pytest.raises(UsageError, match="scenario failover needs to know the repli"):
        await rehearse(config, load_scenario("failover"), shared)


async def test_a_migration_between_named_clusters_needs_none() -> None:
    """Copy and cut-over tell all by their hosts; what they change is asked for."""
    config = Config(target=Target("db"), lanes=(Lane("tcp"),))
    named = {"target_host": "there", "tool": "command", "command": ["true"]}
    text = step("drain") + step("copy", **named) + step("cutover", target_host="there")
    scenario = stage_scenario(text)
    lines = await rehearse(config, scenario, SharedApi())
    assert "  2. copy: copy the source to there by true" in lines
    assert not any(line.startswith("group") for line in lines)
    assert what_changes(config, scenario) == "there"
    assert what_changes(config, stage_scenario(step("drain"))) is None
    with_group = msgspec.structs.replace(config, control=Control("rg"))
    assert what_changes(with_group, scenario) == "rg"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (step("cutover"), ", or target_host to its steps cutover"),
        (step("copy", tool="redis-shake"), ", or target_host to its steps copy"),
        (step("wait", until="available"), ""),
        (step("cutover") + step("wait", until="settled"), ""),
    ],
)
async def test_what_a_scenario_without_a_group_lacks(text: str, hint: str) -> None:
    """A host would do for steps that lead to a target, and for no others."""
    config = Config(target=Target("db"), lanes=(Lane("tcp"),))
    with pytest.raises(UsageError) as caught:
        await rehearse(config, stage_scenario(text), SharedApi())
    assert str(caught.value).endswith(f"to the configuration{hint}")
