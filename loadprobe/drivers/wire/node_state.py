"""The states of a node, and which event leads from which to which. Pure.

    UNTRIED   no attempt to connect has ended yet: arrivals wait for the first one
    DOWN      not connected; attempts fail, or the last connection was lost
    SILENT    connected after it was down, and it has not said anything yet: a port that
              is closed for plaintext may go on to accept
    UP        connected
    LEAVING   not wanted any more, and still connected
    GONE      not wanted any more, and not connected

The table says all that can happen. Whatever is not in it cannot, so it is a defect of
ours and ends the run.
"""

from enum import Enum, auto


class NodeState(Enum):
    """What a node is to us."""

    UNTRIED = auto()
    DOWN = auto()
    SILENT = auto()
    UP = auto()
    LEAVING = auto()
    GONE = auto()


class NodeEvent(Enum):
    """What happens to a node."""

    CONNECTED = auto()
    """A connection was opened, the first or one more."""
    SPOKE = auto()
    """It said something on one of its connections."""
    FAILED = auto()
    """An attempt to connect failed while there was no connection."""
    LOST = auto()
    """The last of its connections has ended."""
    RETIRED = auto()
    """It is not wanted any more; may be said more than once."""
    WANTED = auto()
    """It is wanted again."""


class ImpossibleTransition(AssertionError):
    """An event came in a state in which it cannot come."""

    def __init__(self, state: NodeState, event: NodeEvent) -> None:
        super().__init__(f"a node that is {state.name} cannot be {event.name}")
        self.state = state
        self.event = event


_S, _E = NodeState, NodeEvent

TRANSITIONS: dict[tuple[NodeState, NodeEvent], NodeState] = {
    (_S.UNTRIED, _E.CONNECTED): _S.UP,
    (_S.UNTRIED, _E.FAILED): _S.DOWN,
    (_S.UNTRIED, _E.RETIRED): _S.GONE,
    (_S.DOWN, _E.CONNECTED): _S.SILENT,
    (_S.DOWN, _E.FAILED): _S.DOWN,
    (_S.DOWN, _E.RETIRED): _S.GONE,
    (_S.SILENT, _E.CONNECTED): _S.SILENT,  # attempts that overlap
    (_S.SILENT, _E.SPOKE): _S.UP,
    (_S.SILENT, _E.LOST): _S.DOWN,
    (_S.SILENT, _E.RETIRED): _S.LEAVING,
    (_S.UP, _E.CONNECTED): _S.UP,
    (_S.UP, _E.LOST): _S.DOWN,
    (_S.UP, _E.RETIRED): _S.LEAVING,
    # Attempts that were under way when it was retired end as they end.
    (_S.LEAVING, _E.CONNECTED): _S.LEAVING,
    (_S.LEAVING, _E.LOST): _S.GONE,
    (_S.LEAVING, _E.RETIRED): _S.LEAVING,
    (_S.LEAVING, _E.WANTED): _S.UP,
    (_S.GONE, _E.CONNECTED): _S.LEAVING,
    (_S.GONE, _E.FAILED): _S.GONE,
    (_S.GONE, _E.RETIRED): _S.GONE,
    (_S.GONE, _E.WANTED): _S.UNTRIED,  # as if it was new
}

CONNECTED_STATES = frozenset({_S.SILENT, _S.UP, _S.LEAVING})
"""Those in which a node has a connection; in the others it has none."""

RETIRED_STATES = frozenset({_S.LEAVING, _S.GONE})
"""Those in which nothing new is opened."""


def after(state: NodeState, event: NodeEvent) -> NodeState:
    """Return the state that an event leads to.

    Raises:
        ImpossibleTransition: it cannot come in this state.
    """
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise ImpossibleTransition(state, event)
    return found
