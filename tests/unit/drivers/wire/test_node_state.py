"""The table of a node's states: what is in it, and what is not."""

from itertools import product

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
