"""What the API shows of a group while a change is under way, and what goes wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from loadprobe.local.api.changes import Change
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.injection import FaultPlan, Injection
from loadprobe.local.api.service_updates import ServiceUpdate, UpdateBook

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def nothing(_change: Change) -> None:
    """Do nothing."""


def change(**more: object) -> Change:
    """Return a change of a group of two node groups with two nodes each."""
    made = Change("ModifyReplicationGroup", nothing)
    made.old_shards = frozenset({"0001", "0002"})
    made.old_nodes = frozenset({"a1", "a2", "b1", "b2"})
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_everything_is_modified_by_a_change_of_the_whole_group() -> None:
    """Node groups and nodes have the change's status, new ones are being created."""
    whole = change()
    assert whole.shard_status("0001") == "modifying"
    assert whole.node_status("0001", "a1") == "modifying"
    assert whole.shard_status("0003") == "creating"
    assert whole.node_status("0003", "c1") == "creating"


def test_only_what_is_touched_is_modified() -> None:
    """Other node groups stay available, new nodes are created, leaving ones deleted."""
    partial = change(shards=frozenset({"0001"}), leaving={"a2"})
    assert partial.shard_status("0001") == "modifying"
    assert partial.shard_status("0002") == "available"
    assert partial.node_status("0001", "a1") == "modifying"
    assert partial.node_status("0001", "a2") == "deleting"
    assert partial.node_status("0001", "a3") == "creating"
    assert partial.node_status("0002", "b1") == "available"


def test_a_leaving_node_group_is_deleted() -> None:
    """A node group that is scaled in is shown as going."""
    leaving = change(leaving={"0002", "b1", "b2"})
    assert leaving.shard_status("0002") == "deleting"
    assert leaving.node_status("0002", "b1") == "deleting"
    assert leaving.shard_status("0001") == "modifying"


def test_one_node_can_have_a_status_of_its_own() -> None:
    """A reboot shows at the node, not at its neighbours."""
    reboot = change(
        nodes=frozenset({"a1"}), member_status="rebooting cluster nodes", shards=None
    )
    assert reboot.node_status("0001", "a1") == "rebooting cluster nodes"
    assert reboot.node_status("0001", "a2") == "available"


def test_pending_values_end_node_by_node() -> None:
    """A node has the pending values of its change until it is done."""
    pending = {"CacheNodeType": "cache.m6g.large"}
    rolling = change(node_pending=pending, shards=frozenset({"0001"}))
    assert rolling.pending_of("0001", "a1") == pending
    assert rolling.pending_of("0002", "b1") == {}
    rolling.done_nodes.add("a1")
    assert rolling.pending_of("0001", "a1") == {}
    assert rolling.pending_of("0001", "a2") == pending


def test_faults_come_in_order_and_run_out() -> None:
    """Each planned fault is used as often as it was asked for, the first one first."""
    plan = FaultPlan()
    plan.fail("TestFailover", "Throttling", times=2)
    plan.lose_reply("TestFailover")
    plan.delay("*", 2.0)
    plan.break_work("TestFailover")
    taken = [plan.take("TestFailover") for _ in range(5)]
    kinds = [each.kind if each else None for each in taken]
    assert kinds == ["fail", "fail", "lose_reply", "delay", None]
    broken = plan.take_break("TestFailover")
    assert broken is not None
    assert broken.kind == "break"
    assert plan.take_break("TestFailover") is None


def test_faults_are_for_their_action_until_they_are_cleared() -> None:
    """An action has its own faults; expired credentials concern all, for ever."""
    plan = FaultPlan()
    plan.lose_request("CreateReplicationGroup")
    assert plan.take("TestFailover") is None
    plan.expire_credentials()
    for _ in range(3):
        expired = plan.take("TestFailover")
        assert expired is not None
        assert expired.code == "ExpiredToken"
    plan.add(Injection(kind="fail", code="Throttling"))
    plan.clear()
    assert plan.take("CreateReplicationGroup") is None


def test_an_update_goes_node_by_node() -> None:
    """Nodes wait, are in progress and complete, each with its dates."""
    book = UpdateBook(NOON)
    book.add(ServiceUpdate("update", NOON, "critical"))
    update = book.update("update")
    created = NOON + timedelta(minutes=1)
    action = book.action("rg", update, created=created)
    assert (action.status, action.available) == ("not-applied", created)
    action.ask([("0001", "a1"), ("0001", "a2")], now=created)
    assert action.status == "waiting-to-start"
    action.enter("in-progress", now=created)
    first = action.nodes["0001"]["a1"]
    first.advance("in-progress", now=created)
    first.advance("complete", now=created + timedelta(minutes=1))
    assert first.ended == created + timedelta(minutes=1)
    assert action.updated == 1
    action.enter("stopping", now=created)
    assert action.nodes["0001"]["a2"].status == "waiting-to-start"
    action.enter("stopped", now=created)
    assert action.nodes["0001"]["a2"].status == "stopped"


def test_a_stopped_update_goes_on_where_it_stopped() -> None:
    """What was complete stays complete; the rest waits again."""
    book = UpdateBook(NOON)
    (name,) = book.updates
    action = book.action("rg", book.update(name), created=NOON)
    action.ask([("0001", "a1"), ("0002", "b1")], now=NOON)
    action.nodes["0001"]["a1"].advance("complete", now=NOON)
    action.enter("stopped", now=NOON)
    action.ask([("0001", "a1"), ("0002", "b1")], now=NOON)
    assert action.nodes["0001"]["a1"].status == "complete"
    assert action.nodes["0002"]["b1"].status == "waiting-to-start"


def test_updates_are_forgotten_with_their_group_or_name() -> None:
    """A deleted group leaves no action; a new update of a name begins anew."""
    book = UpdateBook(NOON)
    book.add(ServiceUpdate("update", NOON))
    action = book.action("rg", book.update("update"), created=NOON)
    action.enter("complete", now=NOON)
    book.forget("other")
    again = book.action("rg", book.update("update"), created=NOON)
    assert again.status == "complete"
    book.add(ServiceUpdate("update", NOON))
    again = book.action("rg", book.update("update"), created=NOON)
    assert again.status == "not-applied"
    again.enter("complete", now=NOON)
    book.forget("rg")
    again = book.action("rg", book.update("update"), created=NOON)
    assert again.status == "not-applied"
    with pytest.raises(ApiFault, match="Service update other not found"):
        book.update("other")
