"""The scenario of a run: carried out beside the load, and how far it is."""

from collections.abc import Callable

from loadprobe.control.scenario.runner import run_scenario
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.core.steps import ScenarioRecord
from loadprobe.run.crew import Crew


class Changing:
    """Carries the scenario of a run out.

    Args:
        crew: who works on the run.

    Attributes:
        record: how it went so far; None before it has begun.
        is_over: there is nothing (more) to carry out: the run need not go on for it.
        is_concluded: it was carried out, well or not.
    """

    def __init__(self, crew: Crew) -> None:
        scenario = crew.plan.scenario
        self._crew = crew
        self.record: ScenarioRecord | None = None
        self.is_over = scenario is None or not scenario.steps
        self.is_concluded = False

    async def carry_out(self, on_endpoint: Callable[[str, int], None]) -> None:
        """Carry it out; the load goes on whatever becomes of it.

        Args:
            on_endpoint: called with host and port of every endpoint that lanes go to.
        """
        crew, scenario = self._crew, self._crew.plan.scenario
        if scenario is None or (crew.api is None and not scenario.steps):
            return
        crew.steering.begin(on_endpoint=on_endpoint)
        crew.measurement.prepare()
        try:
            around = Surroundings(
                crew.plan.config,
                crew.api,
                crew.watch,
                lanes=crew.steering,
                load=crew.steering,
                emit=crew.sinks.take_event,
                ways=crew.reach,
                withheld=crew.plan.withheld,
            )
            await run_scenario(scenario, around, on_record=self._take_record)
        finally:
            self.is_over = self.is_concluded = True

    def _take_record(self, record: ScenarioRecord) -> None:
        self.record = record
