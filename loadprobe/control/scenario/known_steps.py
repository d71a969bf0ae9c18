"""Steps that need a call or an argument of the API which not every botocore knows.

aioboto3 asks for one botocore exactly, so a newer one cannot be put in its place. But
the SDK looks for service models in ``AWS_DATA_PATH`` first: those of a newer one do.
"""

from collections.abc import Iterator

from loadprobe.control.provider import known_calls
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import CreateStep, DurabilityStep, Step
from loadprobe.control.scenario.migrate_keys import (
    MigrateCompleteStep,
    MigratePrepareStep,
    MigrateStartStep,
    MigrateStopStep,
)
from loadprobe.errors import PreflightError

_CACHE = "ServerlessCacheName"


def check_known(scenario: Scenario, *, is_serverless: bool = False) -> None:
    """Check that the installed botocore can send what the steps need.

    Args:
        scenario: what was read.
        is_serverless: it is about a serverless cache.

    Raises:
        PreflightError: it cannot, and which one can.
    """
    for step in scenario.steps:
        for operation, argument, since in _needed(step, is_serverless=is_serverless):
            if not known_calls.takes(operation, argument):
                raise PreflightError(
                    f"scenario {scenario.name}, step {step.label}: botocore "
                    f"{known_calls.installed()} does not know {argument} of "
                    f"{operation}; {since} does: pip install --target NEWER "
                    f"'botocore>={since}', and set AWS_DATA_PATH=NEWER/botocore/data"
                )


def _needed(step: Step, *, is_serverless: bool) -> Iterator[tuple[str, str, str]]:
    """Yield (operation, argument, version of botocore that has it)."""
    durable, migrating = known_calls.DURABILITY_SINCE, known_calls.MIGRATIONS_SINCE
    match step:
        case DurabilityStep():
            yield "ModifyReplicationGroup", "Durability", durable
        case CreateStep() if step.durability is not None:
            yield "CreateReplicationGroup", "Durability", durable
        case MigratePrepareStep():
            yield "PrepareMigration", _CACHE, migrating
        case MigrateStartStep() if is_serverless:
            yield "StartMigration", _CACHE, migrating
        case MigrateStopStep():
            yield "StopMigration", _CACHE, migrating
        case MigrateCompleteStep() if is_serverless:
            yield "CompleteMigration", _CACHE, migrating
