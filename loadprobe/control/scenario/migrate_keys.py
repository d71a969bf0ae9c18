"""The keys of the steps by which the provider itself migrates data."""

from loadprobe.config.keys import Port, Text
from loadprobe.control.scenario.step_keys import BaseStep, Deadline


class MigrateTestStep(BaseStep, frozen=True, kw_only=True):
    """Have the provider test whether the group could follow a source.

    Args:
        source_host: primary endpoint of the source.
        source_port: its port.
    """

    source_host: Text
    source_port: Port = 6379
    deadline_s: Deadline = 600.0


class MigrateStartStep(BaseStep, frozen=True, kw_only=True):
    """Begin to copy another server's data into the group.

    Args:
        source_host: primary endpoint of the source; a serverless cache has it from the
            step before, "migrate_prepare".
        source_port: its port.
        auto_cutover: of a serverless cache: it is promoted by itself as soon as both
            are in step, and the step lasts until then.
        clear_target: of a serverless cache: what it holds is deleted first.
    """

    source_host: Text | None = None
    source_port: Port = 6379
    auto_cutover: bool = False
    clear_target: bool = False


class MigrateCompleteStep(BaseStep, frozen=True, kw_only=True):
    """Promote the group; the lanes move to it.

    Args:
        force: end the migration without waiting for the data to be in sync.
    """

    force: bool = False


class MigratePrepareStep(BaseStep, frozen=True, kw_only=True):
    """Have the provider look at a source, and set up what leads to it.

    Args:
        source_host: endpoint of the source.
        source_port: its port.
        source_secret_arn: the secret of Secrets Manager with which ElastiCache logs in
            there; absent: it does not.
        source_ca_file: file of the certificates that ElastiCache trusts there; absent:
            it goes without TLS.
    """

    source_host: Text
    source_port: Port = 6379
    source_secret_arn: Text | None = None
    source_ca_file: Text | None = None
    deadline_s: Deadline = 3600.0


class MigrateStopStep(BaseStep, frozen=True, kw_only=True):
    """Have the cache follow its source no more; the migration can be started again."""
