"""Why runs should not be compared. Pure.

A difference of two groups says something about what was changed between them only if
nothing else was. What may differ (the axes) is named by whoever compares.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MOST_BLIND = 0.01
"""If the probe did not see a larger part of a run, the run says more of the probe."""

_USABLE = {"damaged", "outage", "missed", "clean", "blind"}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """In what one run was made.

    Attributes:
        run: its folder, for messages.
        state: of the run, as in summary.json.
        blind_part: part of the run in which the probe did not look, from 0 to 1.
        facts: what should be the same in all: dotted names and values.
    """

    run: str
    state: str
    blind_part: float
    facts: Mapping[str, object] = field(default_factory=dict)


def find_obstacles(
    runs: Sequence[Circumstances], *, axes: Collection[str] = ()
) -> list[str]:
    """Return why these runs should not be compared, as sentences; empty if they may.

    Args:
        runs: all of all groups.
        axes: names of facts that differ on purpose. ``lanes`` stands for all below it,
            ``lanes.driver`` for the driver of every lane.
    """
    return [*_of_single_runs(runs), *_of_facts(runs, axes)]


def _of_single_runs(runs: Sequence[Circumstances]) -> Iterator[str]:
    for run in runs:
        if run.state not in _USABLE:
            yield f"{run.run} is {run.state}: its figures are not those of a whole run"
        if run.blind_part > MOST_BLIND:
            yield (
                f"{run.run}: the probe was blind for {100 * run.blind_part:.1f} % of it"
            )


def _of_facts(runs: Sequence[Circumstances], axes: Collection[str]) -> Iterator[str]:
    names = dict.fromkeys(name for run in runs for name in run.facts)
    for name in names:
        if any(_is_about(axis, name) for axis in axes):
            continue
        values: dict[object, str] = {}
        for run in runs:
            values.setdefault(run.facts.get(name, "nothing"), run.run)
        if len(values) > 1:
            (one, first), (other, second), *more = values.items()
            others = f" (and {len(more)} more)" if more else ""
            yield f"{name} is {one} in {first}, but {other} in {second}{others}"


def _is_about(axis: str, name: str) -> bool:
    section, *path = name.split(".")
    names = name, ".".join([section, *path[1:]])
    return any(each == axis or each.startswith(f"{axis}.") for each in names)
