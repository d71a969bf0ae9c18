"""The table of IAM actions has what the code calls for each purpose, and no more."""

import ast
import inspect
import textwrap
from contextlib import suppress
from typing import Any

import pytest

from loadprobe.config.keys import Config, Control, Lane
from loadprobe.control.created import cleanup
from loadprobe.control.mutations.changes import (
    ApplyUpdate,
    FailOver,
    RotateAuth,
    SetDurability,
    SetNodeType,
    SetTls,
    UpgradeEngine,
)
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.migrations import (
    CompleteMigration,
    StartMigration,
    TryMigration,
)
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.serverless import (
    CreateCache,
    SetLimits,
    SetUserGroup,
    UpgradeCache,
)
from loadprobe.control.mutations.serverless_migrations import (
    PrepareMigration,
    StartSync,
    StopMigration,
)
from loadprobe.control.mutations.sizes import Scale, SetReplicas
from loadprobe.control.permissions.grants import (
    CHANGES_NOTHING,
    DELETE,
    GRANTS,
    SERVERLESS_GRANTS,
    WATCH,
    Grants,
    actions_of,
    purposes_of,
)
from loadprobe.control.provider import calls, known_calls
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.serverless import Limits
from loadprobe.control.scenario.fitting_steps import check_fitting
from loadprobe.control.scenario.keys import OPERATIONS
from loadprobe.control.scenario.rehearsal import rehearse
from loadprobe.errors import LoadprobeError, PreflightError
from tests.support.control_provider import Provider, Story, api_of, run, virtual_clock
from tests.support.scenario_stage import stage_scenario

KNOWN = frozenset(calls._METHODS)
"""Every operation that can be called at all."""

TAGGING = frozenset({"AddTagsToResource"})
"""Never called: a request that has tags in it needs it (API reference)."""

TOKEN = Secret("correct-horse-battery")
MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    "create": (CreateGroup(2, 1, "cache.t4g.micro", mark="7f3a"),),
    "seed": (CreateGroup(2, 1, "cache.t4g.micro", mark="7f3a"),),
    "delete": (DeleteGroup("7f3a"),),
    "tls": (SetTls("preferred"),),
    "failover": (FailOver("0001"),),
    "scale": (Scale(3),),
    "replicas": (SetReplicas(2), SetReplicas(0)),
    "node_type": (SetNodeType("cache.t4g.small"),),
    "engine": (UpgradeEngine("valkey", "8.1"),),
    "auth_rotate": (RotateAuth(TOKEN),),
    "durability": (SetDurability("sync"),),
    "apply_update": (ApplyUpdate(),),
    "migrate_test": (TryMigration("10.0.0.5", 6379),),
    "migrate_start": (StartMigration("10.0.0.5", 6379),),
    "migrate_complete": (CompleteMigration(),),
}
CACHE_MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    "create_serverless": (CreateCache(mark="7f3a"),),
    "delete": (DeleteGroup("7f3a"),),
    "engine": (UpgradeCache("valkey", "8"),),
    "limits": (SetLimits(Limits(max_storage_gb=10)),),
    "user_group": (SetUserGroup("mine"),),
    "migrate_prepare": (PrepareMigration("10.0.0.5", 6379),),
    "migrate_start": (StartSync(),),
    "migrate_stop": (StopMigration(),),
    "migrate_complete": (CompleteMigration(),),
}
KINDS: dict[str, tuple[Grants, dict[str, tuple[Mutation, ...]]]] = {
    "group": (GRANTS, MUTATIONS),
    "cache": (SERVERLESS_GRANTS, CACHE_MUTATIONS),
}
ALL = [(kind, name) for kind, (_, made) in KINDS.items() for name in sorted(made)]
STEPS: dict[str, str] = {
    "limits": "max_storage_gb = 10",
    "user_group": 'user_group = "mine"',
    "migrate_prepare": 'source_host = "10.0.0.5"',
    "create": 'node_type = "cache.t4g.micro"',
    "tls": 'mode = "preferred"',
    "scale": 'shards = "+1"',
    "replicas": 'count = "+1"',
    "node_type": 'node_type = "next"',
    "engine": 'version = "8.1"\nengine = "valkey"',
    "durability": 'mode = "sync"',
    "auth_rotate": 'token_env = "NEW_TOKEN"',
    "seed": 'node_type = "cache.t4g.micro"\nsnapshots = ["arn:aws:s3:::bucket/a.rdb"]',
    "migrate_test": 'source_host = "10.0.0.5"',
    "copy": 'tool = "command"\ncommand = ["true"]\ntarget_host = "10.0.0.6"',
    "cutover": 'target_host = "10.0.0.6"\ntarget_tls = true',
    "migrate_start": 'source_host = "10.0.0.5"',
    "exec": 'command = ["true"]',
    "hold": "seconds = 1",
}
"""What a step of an operation needs to have."""


def written_in(thing: Any) -> set[str]:
    """Return the operations that are named in a piece of code, and in what it calls."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    found = {text for text in texts if isinstance(text, str)} & KNOWN
    found |= {"ModifyReplicationGroup"} if "modify" in names else set()
    found |= {"ModifyServerlessCache"} if "_modify" in names else set()
    if "_from_source" in names:
        found |= {"TestMigration", "StartMigration"} & texts
    return found


def stage(purpose: str, kind: str = "group") -> Provider:
    """Return a group or cache to which something can be done."""
    provider = Provider()
    if kind == "cache":
        provider.become_cache()
        status = {"migrate_start": "prepared"}.get(purpose, "syncing")
        if purpose in ("migrate_start", "migrate_stop", "migrate_complete"):
            provider.change(Migration={"Status": status})
    if purpose in ("create", "seed", "create_serverless"):
        provider.group = None
    if purpose == "durability":
        for cluster in provider.clusters:
            cluster |= {"Engine": "valkey", "EngineVersion": "9.0.1"}
    if purpose == "migrate_complete" and kind == "group":
        provider.change(Status="migrating")
    if purpose == "auth_rotate":
        provider.change(
            TransitEncryptionEnabled=True,
            TransitEncryptionMode="required",
            AuthTokenEnabled=True,
        )
    if purpose == "apply_update":
        provider.updates = [
            {
                "ServiceUpdateName": "update-1",
                "UpdateActionStatus": "not-applied",
                "ServiceUpdateSeverity": "important",
            }
        ]
    return provider


def called_for(
    purpose: str, monkeypatch: pytest.MonkeyPatch, kind: str = "group"
) -> set[str]:
    """Return what the controller calls when it makes a change."""
    virtual_clock(monkeypatch)
    found: set[str] = set()
    for mutation in KINDS[kind][1][purpose]:
        provider = stage(purpose, kind)

        async def change(made: Mutation = mutation, of: Provider = provider) -> None:
            # The group stays as it is, so that all that is asked meanwhile is asked.
            with suppress(LoadprobeError):
                await Story(of).mutate(made, deadline_s=300.0)

        run(change())
        assert len(provider.calls) == 1, f"{mutation} was not sent"
        found |= provider.operations
    return found


def test_nothing_is_allowed_that_is_never_called() -> None:
    """All actions of the table together are all operations that can be called."""
    allowed = actions_of(*GRANTS)
    allowed |= actions_of(*SERVERLESS_GRANTS, table=SERVERLESS_GRANTS)
    assert allowed - TAGGING == KNOWN


def test_every_operation_of_a_scenario_is_in_the_table() -> None:
    """A step either changes something, and is in the table, or needs nothing.

    A copy changes what servers hold, and asks nothing of AWS.
    """
    changing = {name for name, step in OPERATIONS.items() if step.is_mutation}
    changing -= {"copy"}
    assert set(GRANTS) | set(SERVERLESS_GRANTS) == changing | {WATCH}
    assert set(OPERATIONS) - changing == CHANGES_NOTHING
    for table, made in KINDS.values():
        assert set(made) == set(table) - {WATCH}


def test_steps_that_do_not_fit_are_not_allowed() -> None:
    """What a kind is refused by name is in the table of the other one only."""
    config = {"group": Control("rg"), "cache": Control(serverless_cache="rg")}
    for kind, (table, _) in KINDS.items():
        for operation in set(GRANTS) | set(SERVERLESS_GRANTS) - {WATCH}:
            if operation in (WATCH, "delete"):
                continue
            keys = STEPS.get(operation, "")
            if (kind, operation) == ("cache", "migrate_start"):
                keys = ""
            step = f'[[steps]]\noperation = "{operation}"\n{keys}\n'
            fits = True
            try:
                check_fitting(stage_scenario(step), config[kind])
            except PreflightError:
                fits = False
            assert fits == (operation in table), (kind, operation)


@pytest.mark.parametrize(("kind", "purpose"), ALL)
def test_what_a_change_calls(
    kind: str, purpose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller calls what is allowed for a change and for watching, and all."""
    table = KINDS[kind][0]
    called = called_for(purpose, monkeypatch, kind)

    allowed = actions_of(purpose, table=table)
    of_cleanup = {"CompleteMigration"} if purpose == DELETE else set()
    watched = actions_of(WATCH, table=table)
    assert called - watched == allowed - TAGGING - of_cleanup


@pytest.mark.parametrize(("kind", "purpose"), ALL)
def test_what_is_written_in_a_change(kind: str, purpose: str) -> None:
    """Every operation in the code of a change is allowed, in whichever branch it is.

    What ends a group or a cache is told by its kind.
    """
    table, made = KINDS[kind]
    written = {
        name for mutation in made[purpose] for name in written_in(type(mutation))
    }
    assert written or purpose == DELETE
    assert written <= actions_of(purpose, table=table)


@pytest.mark.parametrize("kind", KINDS)
def test_what_watching_calls(kind: str) -> None:
    """All that the API can be asked about a group without a need is what is watched."""

    async def watch() -> set[str]:
        provider = stage("nothing", kind)
        api = api_of(provider)
        for name, method in inspect.getmembers(api, inspect.iscoroutinefunction):
            if name.startswith("_") or name == "send":
                continue
            await (method(0) if name == "events_since" else method())
        return provider.operations

    assert run(watch()) == actions_of(WATCH, table=KINDS[kind][0])


def test_what_the_end_of_a_group_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleaning up calls what a delete step does, and ends a migration that goes on."""
    for kind, (table, _) in KINDS.items():
        called = called_for(DELETE, monkeypatch, kind)
        assert actions_of(DELETE, table=table) == {
            *called - actions_of(WATCH, table=table),
            *written_in(CompleteMigration),
        }
    used = {
        name
        for name in vars(cleanup)
        if name in {type(m).__name__ for ms in MUTATIONS.values() for m in ms}
    }
    assert used == {"CompleteMigration", "DeleteGroup"}


REHEARSED = [
    (kind, operation)
    for kind, (table, _) in KINDS.items()
    for operation in sorted((set(table) | CHANGES_NOTHING) - {WATCH, "delete"})
]


@pytest.mark.parametrize(("kind", "operation"), REHEARSED)
def test_what_a_rehearsal_calls(
    kind: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run asks for nothing that a run of the scenario is not allowed."""
    keys = STEPS.get(operation, "")
    if kind == "cache" and operation == "migrate_start":
        keys = ""
    scenario = stage_scenario(f'[[steps]]\noperation = "{operation}"\n{keys}\n')
    provider = stage(operation, kind)
    api = api_of(provider)

    class Shared:
        async def open(self, *_: Any, **__: Any) -> ElastiCacheApi:
            return api

    control = Control("rg") if kind == "group" else Control(serverless_cache="rg")
    config = Config(lanes=(Lane("tls", tls=True),), control=control)
    monkeypatch.setenv("NEW_TOKEN", TOKEN.reveal())
    monkeypatch.setattr(known_calls, "takes", lambda _operation, _argument: True)
    run(rehearse(config, scenario, Shared()))  # type: ignore[arg-type]

    table = KINDS[kind][0]
    allowed = actions_of(*purposes_of((operation,), table), table=table)
    assert provider.operations <= allowed


def test_the_purposes_of_a_run() -> None:
    """Watching is always one, and whoever creates a group deletes it."""
    assert purposes_of(()) == (WATCH,)
    assert purposes_of(("hold", "failover", "failover")) == (WATCH, "failover")
    assert purposes_of(("create", "tls")) == (WATCH, "create", DELETE, "tls")
    made = ("create_serverless", "limits")
    assert purposes_of(made, SERVERLESS_GRANTS) == (
        WATCH,
        "create_serverless",
        DELETE,
        "limits",
    )
