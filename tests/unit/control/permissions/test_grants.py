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
from loadprobe.control.mutations.lifecycle import (
    CompleteMigration,
    CreateGroup,
    DeleteGroup,
    StartMigration,
    TryMigration,
)
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.sizes import Scale, SetReplicas
from loadprobe.control.permissions.grants import (
    CHANGES_NOTHING,
    DELETE,
    GRANTS,
    WATCH,
    actions_of,
    purposes_of,
)
from loadprobe.control.provider import calls, known_calls
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.secret import Secret
from loadprobe.control.scenario.keys import OPERATIONS
from loadprobe.control.scenario.rehearsal import rehearse
from loadprobe.errors import LoadprobeError
from tests.support.control_provider import Provider, Story, run, virtual_clock
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
STEPS: dict[str, str] = {
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
    return found | ({"ModifyReplicationGroup"} if "modify" in names else set())


def stage(purpose: str) -> Provider:
    """Return a group to which something can be done."""
    provider = Provider()
    if purpose in ("create", "seed"):
        provider.group = None
    if purpose == "durability":
        for cluster in provider.clusters:
            cluster |= {"Engine": "valkey", "EngineVersion": "9.0.1"}
    if purpose == "migrate_complete":
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


def called_for(purpose: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return what the controller calls when it makes a change."""
    virtual_clock(monkeypatch)
    found: set[str] = set()
    for mutation in MUTATIONS[purpose]:
        provider = stage(purpose)

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
    assert actions_of(*GRANTS) - TAGGING == KNOWN


def test_every_operation_of_a_scenario_is_in_the_table() -> None:
    """A step either changes something, and is in the table, or needs nothing.

    A copy changes what servers hold, and asks nothing of AWS.
    """
    changing = {name for name, step in OPERATIONS.items() if step.is_mutation}
    changing -= {"copy"}
    assert set(GRANTS) == changing | {WATCH}
    assert set(OPERATIONS) - changing == CHANGES_NOTHING
    assert set(MUTATIONS) == changing


@pytest.mark.parametrize("purpose", sorted(MUTATIONS))
def test_what_a_change_calls(purpose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller calls what is allowed for a change and for watching, and all."""
    called = called_for(purpose, monkeypatch)

    allowed = actions_of(purpose)
    of_cleanup = {"CompleteMigration"} if purpose == DELETE else set()
    assert called - actions_of(WATCH) == allowed - TAGGING - of_cleanup


@pytest.mark.parametrize("purpose", sorted(MUTATIONS))
def test_what_is_written_in_a_change(purpose: str) -> None:
    """Every operation in the code of a change is allowed, in whichever branch it is."""
    written = {
        name for mutation in MUTATIONS[purpose] for name in written_in(type(mutation))
    }
    assert written
    assert written <= actions_of(purpose)


def test_what_watching_calls() -> None:
    """All that the API can be asked about a group without a need is what is watched."""

    async def watch() -> set[str]:
        provider = Provider()
        api = ElastiCacheApi(
            provider, provider, group_id="rg", where="here", throttle_backoff_s=0
        )
        for name, method in inspect.getmembers(api, inspect.iscoroutinefunction):
            if name.startswith("_") or name == "send":
                continue
            await (method(0) if name == "events_since" else method())
        return provider.operations

    assert run(watch()) == actions_of(WATCH)


def test_what_the_end_of_a_group_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleaning up calls what a delete step does, and ends a migration that goes on."""
    assert actions_of(DELETE) == {
        *called_for(DELETE, monkeypatch) - actions_of(WATCH),
        *written_in(CompleteMigration),
    }
    used = {
        name
        for name in vars(cleanup)
        if name in {type(m).__name__ for ms in MUTATIONS.values() for m in ms}
    }
    assert used == {"CompleteMigration", "DeleteGroup"}


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"delete"}))
def test_what_a_rehearsal_calls(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run asks for nothing that a run of the scenario is not allowed."""
    keys = STEPS.get(operation, "")
    scenario = stage_scenario(f'[[steps]]\noperation = "{operation}"\n{keys}\n')
    provider = stage(operation)
    api = ElastiCacheApi(
        provider, provider, group_id="rg", where="here", throttle_backoff_s=0
    )

    class Shared:
        async def open(self, *_: Any, **__: Any) -> ElastiCacheApi:
            return api

    config = Config(lanes=(Lane("tls", tls=True),), control=Control("rg"))
    monkeypatch.setenv("NEW_TOKEN", TOKEN.reveal())
    monkeypatch.setattr(known_calls, "takes", lambda _operation, _argument: True)
    run(rehearse(config, scenario, Shared()))  # type: ignore[arg-type]

    assert provider.operations <= actions_of(*purposes_of((operation,)))


def test_the_purposes_of_a_run() -> None:
    """Watching is always one, and whoever creates a group deletes it."""
    assert purposes_of(()) == (WATCH,)
    assert purposes_of(("hold", "failover", "failover")) == (WATCH, "failover")
    assert purposes_of(("create", "tls")) == (WATCH, "create", DELETE, "tls")
