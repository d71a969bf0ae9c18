"""Steps of serverless caches: which there are, and what is told before they begin."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadprobe.clock import read_clock_pair
from loadprobe.config.keys import Config, Control, Lane, Target
from loadprobe.control.created import markers
from loadprobe.control.created.cleanup import next_call
from loadprobe.control.mutations.marks import MARK_TAG
from loadprobe.control.mutations.mutation import with_group, with_migration
from loadprobe.control.provider import known_calls
from loadprobe.control.provider.kinds import SERVERLESS_CACHE
from loadprobe.control.provider.replies import Call, Endpoint, Group
from loadprobe.control.provider.serverless import Migration, Serverless
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.provider.state import ApiCall, GroupState
from loadprobe.control.scenario.file import Scenario, parse_scenario
from loadprobe.control.scenario.fitting_steps import check_fitting
from loadprobe.control.scenario.known_steps import check_known
from loadprobe.control.scenario.lanes import (
    LaneControl,
    LaneEndpoints,
    dormant_lanes,
    never_served,
)
from loadprobe.control.scenario.migrate_keys import MigratePrepareStep
from loadprobe.control.scenario.rehearsal import plan_scenario
from loadprobe.control.scenario.source_certificate import read_certificate
from loadprobe.control.scenario.transfer_plan import check_transfers
from loadprobe.errors import ControlError, PreflightError
from loadprobe.run.plan import RunOptions
from loadprobe.run.preparing import plan_run
from tests.support.newer_botocore import newer_botocore

RG, CACHE = Control("rg"), Control(serverless_cache="sc")
_NOW = read_clock_pair()
CACHE_STATE = GroupState(
    Group(
        id="sc",
        status="available",
        pending={},
        shards={},
        endpoint=Endpoint("cache", 6379),
        tls_mode="required",
        call=Call("DescribeServerlessCaches", _NOW, _NOW, "", None),
        kind=SERVERLESS_CACHE,
        serverless=Serverless("valkey", "7", "7.2"),
    )
)


def parsed(*steps: str) -> Scenario:
    """Parse a scenario of steps, each "operation; key = value; ..."."""
    sections = []
    for step in steps:
        operation, *keys = step.split("; ")
        sections.append("\n".join(["[[steps]]", f'operation = "{operation}"', *keys]))
    text = "\n".join(['description = "x"', *sections])
    return parse_scenario(text, where="s.toml", name="s")


@pytest.mark.parametrize(
    ("step", "call"),
    [
        ('migrate_prepare; source_host = "db"', "PrepareMigration"),
        ("migrate_start", "StartMigration"),
        ("migrate_stop", "StopMigration"),
        ("migrate_complete", "CompleteMigration"),
    ],
)
def test_migrations_into_caches_need_a_newer_botocore(
    step: str, call: str, tmp_path: Path
) -> None:
    """By the service model that the SDK finds, whatever its version is."""
    scenario = parsed(step)
    if not known_calls.takes("PrepareMigration", "ServerlessCacheName"):
        with pytest.raises(
            PreflightError,
            match=rf"not know ServerlessCacheName of {call}; 1\.44\.8 does: pip inst",
        ):
            check_known(scenario, is_serverless=True)
    with newer_botocore(tmp_path):
        check_known(scenario, is_serverless=True)


@pytest.mark.parametrize(
    ("control", "step", "message"),
    [
        (CACHE, "failover", "nobody can fail over nodes"),
        (CACHE, 'create; node_type = "s"', "use create_serverless"),
        (CACHE, 'tls; mode = "preferred"', "TLS is always on there"),
        (CACHE, 'scale; shards = "+1"', r"set its limits \(limits\)"),
        (CACHE, 'engine; version = "8"; parameter_group = "p"', "no parameter group"),
        (CACHE, 'migrate_start; source_host = "db"', "named by migrate_prepare"),
        (CACHE, 'migrate_test; source_host = "db"', "when it is prepared"),
        (CACHE, 'wait; until = "snapshotting"', "never snapshotting"),
        (RG, "create_serverless", "name a cache by control.serverless_cache"),
        (RG, "limits; max_storage_gb = 1", "change its shards or its node type"),
        (RG, "migrate_start", "set source_host"),
        (RG, 'migrate_start; source_host = "db"; auto_cutover = true', "remove them"),
        (RG, "migrate_stop", "goes on by migrate_complete only"),
    ],
)
def test_steps_of_the_other_kind(control: Control, step: str, message: str) -> None:
    """They are refused by their name, with what to do instead."""
    with pytest.raises(PreflightError, match=message) as caught:
        check_fitting(parsed(step), control)
    operation = step.partition(";")[0]
    assert f"step {operation}: {operation} is not for a " in str(caught.value)


def test_a_source_that_a_cache_cannot_follow(tmp_path: Path) -> None:
    """What the lanes know of it, and what is known of the cache, is told before."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
    state = replace(CACHE_STATE)
    plain = 'migrate_prepare; source_host = "db"'
    lanes = [Lane("tls", tls=True)]

    def told(step: str, of: Any = state, lane: Lane = lanes[0], **more: Any) -> str:
        target = Target("db", 6379, **more)
        try:
            check_transfers(parsed(step), [lane], of, target=target)
        except PreflightError as exc:
            return str(exc)
        return ""

    secret = '; source_secret_arn = "arn:s"'
    trusted = f'; source_ca_file = "{ca_file}"'
    assert "set source_ca_file" in told(plain)
    assert told(plain + trusted) == ""
    assert "set source_secret_arn" in told(plain, password_env="P")
    assert told(plain + secret + trusted, password_env="P") == ""
    redis = replace(
        state, group=replace(state.group, serverless=Serverless("redis", "7"))
    )
    assert "only serverless caches of Valkey" in told(plain + trusted, redis)
    left = told("migrate_complete", lane=Lane("tcp"))
    assert "lane tcp is of plaintext: it would stay at the source" in left
    restored = 'create_serverless; snapshots = ["a.rdb"]'
    assert "'a.rdb' is no ARN" in told(restored)


def test_certificates_of_a_source(tmp_path: Path) -> None:
    """Their text is sent; a file that has none, or is not there, is refused."""
    path = tmp_path / "ca.pem"
    step = parsed(f'migrate_prepare; source_host = "db"; source_ca_file = "{path}"')
    (prepare,) = step.steps
    assert isinstance(prepare, MigratePrepareStep)
    with pytest.raises(ControlError, match="No such file"):
        read_certificate(prepare)
    path.write_text("nothing")
    with pytest.raises(ControlError, match="holds no certificate"):
        read_certificate(prepare)
    path.write_text("-----BEGIN CERTIFICATE-----\nMII\n")
    assert read_certificate(prepare) == path.read_text()


def test_a_whole_scenario_is_planned() -> None:
    """Each step from what the one before leaves behind."""
    scenario = parsed(
        "limits; max_ecpu_per_s = 5000",
        'engine; version = "8"',
        'user_group; user_group = "mine"',
        'migrate_prepare; source_host = "db"',
        "migrate_start",
        "migrate_stop",
        "migrate_start; clear_target = true",
        "migrate_complete",
        "migrate_complete; name = 'again'",
    )
    done = replace(scenario, steps=scenario.steps[:-1])
    lines = plan_scenario(done, CACHE_STATE)
    assert lines[1] == ("serverless cache sc: valkey 7.2, limits none, available")
    calls = [line.strip().partition("(")[0] for line in lines if "(Serverless" in line]
    assert calls == [
        *["ModifyServerlessCache"] * 3,
        "PrepareMigration",
        "StartMigration",
        "StopMigration",
        "StartMigration",
        "CompleteMigration",
    ]
    with pytest.raises(PreflightError, match="step again: .* start a migration first"):
        plan_scenario(scenario, CACHE_STATE)


def test_notes_of_a_group_and_a_cache_of_one_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are two notes, and each leads back to what it is about."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    group, cache = Control("same"), Control(serverless_cache="same")
    for control in (group, cache):
        markers.write(control, now_ns=1, mark="7f3a")
    for control in (group, cache):
        marker = markers.own(control)
        assert marker is not None
        assert marker.control == control
        assert marker.where == "same at us-east-1"
    markers.remove(cache)
    assert markers.own(cache) is None
    assert markers.own(group) is not None


@pytest.mark.parametrize(
    ("step", "goes_over"),
    [("migrate_start", False), ("migrate_start; auto_cutover = true", True)],
)
def test_lanes_go_over_with_the_provider(step: str, *, goes_over: bool) -> None:
    """At the source they stay there until the provider ends the migration."""
    scenario = parsed('migrate_prepare; source_host = "db"', step)
    assert scenario.cuts_over == goes_over
    lanes = cast("LaneControl", SimpleNamespace(lanes=()))
    endpoints = LaneEndpoints(scenario, Target("db", 6379), lanes)
    assert endpoints.is_elsewhere == goes_over
    (_, start) = scenario.steps
    asyncio.run(endpoints.follow(start, before="required", group=CACHE_STATE.group))
    assert not endpoints.is_elsewhere
    assert endpoints.of(tls=True) == Endpoint("cache", 6379)


def test_a_created_cache_is_waited_for() -> None:
    """All lanes sleep until it is there; those of plaintext never would wake."""
    scenario = parsed("create_serverless")
    lanes = (Lane("tls", tls=True), Lane("tcp"))
    assert dormant_lanes(scenario, None, lanes) == {"tls", "tcp"}
    assert [lane.name for lane in never_served(scenario, lanes)] == ["tcp"]


def test_what_ends_a_cache() -> None:
    """One that follows a source is promoted by force before it is deleted."""
    ours = replace(CACHE_STATE, tags={MARK_TAG: "7f3a"})
    assert next_call(ours, "7f3a") == ApiCall(
        "DeleteServerlessCache", {"ServerlessCacheName": "sc"}
    )
    following = with_migration(ours, Migration("syncing"))
    assert next_call(following, "7f3a") == ApiCall(
        "CompleteMigration", {"ServerlessCacheName": "sc", "Force": True}
    )
    assert next_call(with_group(ours, status="modifying"), "7f3a") is None


async def test_a_run_is_not_planned_either() -> None:
    """Not by `check`, nor by a program: nothing was asked, for nobody would answer."""
    control = Control(serverless_cache="sc", endpoint_url="http://127.0.0.1:1")
    config = Config(lanes=(Lane("tls", tls=True),), control=control)
    async with SharedApi() as shared:
        with pytest.raises(PreflightError, match="failover is not for a serverless"):
            await plan_run(config, RunOptions(scenario=parsed("failover")), shared)
