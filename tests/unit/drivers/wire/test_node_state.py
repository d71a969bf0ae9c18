"""The table of a node's states: what is in it, and what is not."""

import ast
from itertools import product
from pathlib import Path

import pytest

from loadprobe.drivers.wire.node_state import (
    CONNECTED_STATES,
    RETIRED_STATES,
    TRANSITIONS,
    ImpossibleTransition,
    NodeEvent,
    NodeState,
    after,
)
from tests.support.paths import ROOT

WIRE = ROOT / "loadprobe" / "drivers" / "wire"


@pytest.mark.parametrize(("state", "event"), [*product(NodeState, NodeEvent)])
def test_every_pair_is_in_the_table_or_ends_the_run(
    state: NodeState, event: NodeEvent
) -> None:
    """There is a next state, or an error that names both; never a guess."""
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(ImpossibleTransition) as caught:
        after(state, event)
    assert (caught.value.state, caught.value.event) == (state, event)
    assert state.name in str(caught.value)
    assert event.name in str(caught.value)


def test_every_state_can_be_reached_and_every_event_used() -> None:
    """From a node of which nothing is known, all states are some events away."""
    reached = {NodeState.UNTRIED}
    while (
        more := {to for (at, _), to in TRANSITIONS.items() if at in reached} - reached
    ):
        reached |= more
    assert reached == set(NodeState)
    assert {event for _, event in TRANSITIONS} == set(NodeEvent)


def test_events_say_what_states_are() -> None:
    """A connection makes connected, the last loss not; retiring lasts until wanted."""
    for (state, event), to in TRANSITIONS.items():
        match event:
            case NodeEvent.CONNECTED:
                assert to in CONNECTED_STATES
            case NodeEvent.LOST:
                assert state in CONNECTED_STATES
                assert to not in CONNECTED_STATES
            case NodeEvent.FAILED:
                assert not {state, to} & CONNECTED_STATES
            case _:
                assert (state in CONNECTED_STATES) is (to in CONNECTED_STATES)
        if event is NodeEvent.RETIRED:
            assert to in RETIRED_STATES
        elif event is NodeEvent.WANTED:
            assert state in RETIRED_STATES
            assert to not in RETIRED_STATES
        else:
            assert (state in RETIRED_STATES) is (to in RETIRED_STATES)


def assigned(module: Path) -> set[str]:
    """Return the attributes of others that a module assigns."""
    found: set[str] = set()
    for name in ast.walk(ast.parse(module.read_text())):
        if (
            isinstance(name, ast.Attribute)
            and isinstance(name.ctx, ast.Store | ast.Del)
            and ast.unparse(name.value) != "self"
        ):
            found.add(name.attr)
    return found


def test_only_the_node_changes_its_attributes() -> None:
    """Of the modules that know nodes, no other one assigns what a node has."""
    own = {
        name.attr
        for name in ast.walk(ast.parse((WIRE / "node.py").read_text()))
        if isinstance(name, ast.Attribute) and isinstance(name.ctx, ast.Store)
    }
    assert {"state", "failure", "shard", "takes_reads"} <= own
    others = [module for module in WIRE.glob("*.py") if module.name != "node.py"]
    assert len(others) > 10
    assert {m.name: found for m in others if (found := assigned(m) & own)} == {}
