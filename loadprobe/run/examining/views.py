"""What all nodes say of the cluster, compared. Pure."""

from collections import Counter
from collections.abc import Sequence

from loadprobe.core.topology.roles import Address
from loadprobe.core.topology.topology import SlotsView
from loadprobe.run.checks import Check
from loadprobe.run.examining.visits import Visit

_NAMED = 3


def compare_views(name: str, visits: Sequence[Visit]) -> Check:
    """Say whether all nodes answer, and see the same owners of all slots.

    Args:
        name: of the check.
        visits: one for each node that the endpoint announces.
    """
    problems = [visit.failure for visit in visits if visit.failure]
    unwell = [visit for visit in visits if visit.state not in (None, "ok")]
    problems += [
        f"{_text(visit.address)} sees cluster_state {visit.state}" for visit in unwell
    ]
    views = {
        visit.address: _owners(visit.slots)
        for visit in visits
        if visit.slots is not None
    }
    if views:
        most = Counter(views.values()).most_common(1)[0][0]
        others = [address for address, view in views.items() if view != most]
        if others:
            problems.append(
                f"{_some(others)} sees other owners of slots than {len(views)} nodes "
                "do together: a change is under way, or nodes cannot reach each other; "
                "compare CLUSTER SLOTS there"
            )
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        detail = (
            f"{problems[0]}{more}; a run begins all the same, and outages that this "
            "makes are the cluster's"
        )
        return Check(name, passed=False, detail=detail, is_needed=False)
    agreed = ", and see the same owners of all slots" if views else ""
    number = "the node answers" if len(visits) == 1 else f"all {len(visits)} answer"
    return Check(name, passed=True, detail=f"{number}{agreed if visits[1:] else ''}")


def _owners(view: SlotsView) -> tuple[tuple[int, int, str], ...]:
    """Return who owns which slots, by node id: names may differ from node to node."""
    joined: list[tuple[int, int, str]] = []
    for first, last, primary, _ in sorted(view.rows, key=lambda row: row[0]):
        if joined and joined[-1][2] == primary.id and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last, primary.id)
        else:
            joined.append((first, last, primary.id))
    return tuple(joined)


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _some(addresses: Sequence[Address]) -> str:
    more = f" and {len(addresses) - _NAMED} more" if addresses[_NAMED:] else ""
    return ", ".join(map(_text, addresses[:_NAMED])) + more
