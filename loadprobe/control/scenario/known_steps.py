"""Steps that need an argument of the API which not every botocore knows."""

from loadprobe.control.provider import known_calls
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import CreateStep, DurabilityStep
from loadprobe.errors import PreflightError


def check_known(scenario: Scenario) -> None:
    """Check that the installed botocore can send what the steps need.

    Raises:
        PreflightError: it cannot, and which one can.
    """
    for step in scenario.steps:
        operation = None
        if isinstance(step, DurabilityStep):
            operation = "ModifyReplicationGroup"
        elif isinstance(step, CreateStep) and step.durability is not None:
            operation = "CreateReplicationGroup"
        if operation is not None and not known_calls.takes(operation, "Durability"):
            raise PreflightError(
                f"scenario {scenario.name}, step {step.label}: botocore "
                f"{known_calls.installed()} does not know Durability of {operation}; "
                f"{known_calls.DURABILITY_SINCE} does: pip install --upgrade aioboto3"
            )
