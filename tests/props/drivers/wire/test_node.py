"""Whatever happens to a node, in any order: its state says what it has."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.drivers.base import Arrival
from loadprobe.drivers.wire.node_state import (
    CONNECTED_STATES,
    RETIRED_STATES,
    NodeState,
)
from tests.support.arrivals import make_arrival
from tests.support.examples import examples
from tests.support.nodes import NodeBench

WIDTH = 3
_STEPS = st.sampled_from(
    ["open", "speak", "lose", "refuse", "retire", "want", "trim", "listen", "hold"]
)


def step(bench: NodeBench, name: str, number: int, held: list[Arrival]) -> None:
    """Let one thing happen."""
    node = bench.node
    live = node.live[number % len(node.live)] if node.live else None
    match name:
        case "open":
            bench.open(number % WIDTH)
        case "speak" if live is not None:
            bench.speak(live)
        case "lose" if live is not None:
            live.connection_lost(None)
        case "refuse":
            bench.refuse()
        case "retire":
            node.retire()
        case "want":
            node.want(number % WIDTH + 1, is_primary=number % 2 == 0)
        case "trim":
            node.trim()
        case "listen":
            node.listen()
        case "hold":
            arrival = make_arrival(len(held), 0, worker=0)
            if node.hold(arrival, asking=False):
                held.append(arrival)


async def check(steps: list[tuple[str, int]]) -> None:
    """Take steps, and look at the node after each."""
    bench = NodeBench(WIDTH)
    node = bench.node
    held: list[Arrival] = []
    for name, number in steps:
        before = len(node.live)
        step(bench, name, number, held)
        assert (node.state in CONNECTED_STATES) is bool(node.live)
        assert (node.state in RETIRED_STATES) is (node.wanted == 0) is node.retired
        assert [c for c in node.by_worker if c is not None] == sorted(
            node.live, key=lambda connection: connection.index
        )
        if name == "trim":
            assert len(node.live) >= min(before, node.wanted)
        if node.state is not NodeState.UNTRIED:
            assert [arrival for arrival, _ in bench.ends] == held


@examples(200)
@given(steps=st.lists(st.tuples(_STEPS, st.integers(0, 5)), max_size=40))
def test_the_state_says_what_the_node_has(steps: list[tuple[str, int]]) -> None:
    """No order of events is impossible, and whoever waited is told once."""
    asyncio.run(check(steps))
