"""A change of a serverless cache settles by what is told of it, or says why not."""

import pytest

from loadprobe.control.mutations.lifecycle import DeleteGroup
from loadprobe.control.mutations.migrations import CompleteMigration
from loadprobe.control.mutations.serverless import CreateCache, SetLimits, UpgradeCache
from loadprobe.control.mutations.serverless_migrations import (
    PrepareMigration,
    StartSync,
)
from loadprobe.control.provider.serverless import Limits
from loadprobe.core.events import CallEvident
from loadprobe.core.steps import StepState
from loadprobe.errors import ControlError
from tests.support.control_provider import Lost, Provider, Story, run, virtual_clock

PREPARE = PrepareMigration("10.0.0.5", 6379)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    virtual_clock(monkeypatch)


@pytest.fixture
def provider() -> Provider:
    """Return an available cache."""
    made = Provider()
    made.become_cache()
    return made


def test_an_upgrade_passes_its_phases(provider: Provider) -> None:
    """There are no replicas that anybody could wait for."""
    provider.after(3, Status="MODIFYING")
    done = {"MajorEngineVersion": "8", "FullEngineVersion": "8.1"}
    provider.after(40, Status="available", **done)
    story = Story(provider)
    record = run(story.mutate(UpgradeCache("valkey", "8")))
    assert record.state is StepState.SETTLED
    assert story.phases[:4] == ["api_call", "accepted", "modifying", "settled"]
    assert 40 <= story.seconds("settled") <= 45
    named = {"ServerlessCacheName": "rg", "MajorEngineVersion": "8"}
    assert provider.calls == [("ModifyServerlessCache", named)]


def test_a_lost_reply_is_told_by_the_cache(provider: Provider) -> None:
    """The call is looked up, never repeated."""
    limits = {"CacheUsageLimits": {"DataStorage": {"Maximum": 9, "Unit": "GB"}}}
    provider.after(3, Status="modifying")
    provider.after(20, Status="available", **limits)
    provider.script["ModifyServerlessCache"].append(Lost(is_applied=True))
    story = Story(provider)
    run(story.mutate(SetLimits(Limits(max_storage_gb=9))))
    assert story.details(CallEvident).evidence == "status"
    assert len(provider.calls) == 1


def test_one_is_created_and_deleted(provider: Provider) -> None:
    """It may take a while to show, and is done when it is gone."""
    there = provider.group
    provider.group = None

    def show(status: str) -> None:
        provider.group = {**(there or {}), "Status": status}

    provider.timeline = [
        (20, lambda: show("creating")),
        (60, lambda: show("available")),
    ]
    story = Story(provider)
    run(story.mutate(CreateCache(mark="7f3a")))
    assert story.phases[-1] == "settled"
    assert 60 <= story.seconds("settled") <= 65

    def vanish() -> None:
        provider.group = None

    provider.timeline = [(2, lambda: show("deleting")), (30, vanish)]
    story = Story(provider)
    run(story.mutate(DeleteGroup("7f3a")))
    assert story.phases == ["api_call", "accepted", "modifying", "settled"]
    assert provider.calls[-1] == (
        "DeleteServerlessCache",
        {"ServerlessCacheName": "rg"},
    )


def test_a_migration_from_preparation_to_cut_over(provider: Provider) -> None:
    """Each step waits for the word that it leads to."""
    for mutation, words in (
        (PREPARE, ("preparing", "prepared")),
        (StartSync(), ("starting", "syncing")),
        (CompleteMigration(), ("cutover-in-progress", "completed")),
    ):
        provider.timeline.clear()
        provider.after(1, Status="modifying", Migration={"Status": words[0]})
        provider.after(30, Status="available", Migration={"Status": words[1]})
        story = Story(provider)
        assert run(story.mutate(mutation)).state is StepState.SETTLED
        assert 30 <= story.seconds("settled") <= 35


def test_a_cut_over_by_itself(provider: Provider) -> None:
    """The start lasts until the cache serves on its own."""
    provider.change(Migration={"Status": "prepared"})
    provider.after(1, Migration={"Status": "syncing"})
    provider.after(90, Migration=None)
    story = Story(provider)
    run(story.mutate(StartSync(auto_cutover=True)))
    assert 90 <= story.seconds("settled") <= 95


def test_a_preparation_that_is_rolled_back(provider: Provider) -> None:
    """The event that tells the reason ends the wait."""
    provider.after(1, Status="modifying", Migration={"Status": "preparing"})
    provider.after(30, Status="available", Migration=None)
    text = "Migration preparation failed: the source is newer than the target"
    provider.timeline.append((30, lambda: provider.publish(text)))
    with pytest.raises(ControlError, match="gave it up: .*the source is newer"):
        run(Story(provider).mutate(PREPARE))


def test_a_sync_that_fails(provider: Provider) -> None:
    """A word that says so ends the wait, unless it was there before."""
    provider.change(Migration={"Status": "sync-failed"})
    provider.after(20, Migration={"Status": "starting"})
    provider.after(40, Migration={"Status": "failed"})
    story = Story(provider)
    with pytest.raises(ControlError, match="migration into rg is 'failed'; see"):
        run(story.mutate(StartSync(clear_target=True)))
    assert story.seconds("failed") >= 40


def test_events_of_a_group_of_that_name_are_others(provider: Provider) -> None:
    """A group and a cache may have the same name."""
    story = Story(provider)

    async def told() -> list[str]:
        provider.publish("Serverless cache rg updated")
        provider.publish("Replication group rg deleted")
        provider.events[-1]["SourceType"] = "replication-group"
        return [record.message for record in await story.api.events_since(0)]

    assert run(told()) == ["Serverless cache rg updated"]
