"""Whether the lanes of a running trial are served."""

from collections.abc import Callable

from tests.support.running import Trial


def is_served(trial: Trial, lane: str) -> Callable[[], bool]:
    """Return whether a lane has been served since now, on every shard it has."""
    totals = trial.measurement.aggregate.scope_totals
    before = {scope: counted.served for scope, counted in totals.items()}

    def is_true() -> bool:
        mine = [scope for scope in totals if scope.lane == lane]
        return bool(mine) and all(
            totals[scope].served > before.get(scope, 0) for scope in mine
        )

    return is_true
