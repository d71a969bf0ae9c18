"""The keys of steps that move data and lanes to another place: copy, drain, cutover."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from loadprobe.config.keys import Port, Text
from loadprobe.control.scenario.step_keys import BaseStep, Command, Deadline, Seconds

Bytes = Annotated[int, Meta(ge=1, le=1 << 50)]


class TargetedStep(BaseStep, frozen=True, kw_only=True):
    """What steps have that are about the target of a migration.

    Args:
        target_host: its endpoint; absent: what the group of [control] describes, with
            its port, shape and transport.
        target_port: its port.
        target_cluster: it has cluster mode.
        target_tls: it serves TLS.
        target_username: ACL user to log in as there.
        target_password_file: file with the password of the target in line 1.
        target_password_env: environment variable that holds it.
        target_ca_file: certificate authorities to trust there; absent: those of
            [target].
    """

    target_host: Text | None = None
    target_port: Port = 6379
    target_cluster: bool = True
    target_tls: bool = False
    target_username: Text | None = None
    target_password_file: Text | None = None
    target_password_env: Text | None = None
    target_ca_file: Text | None = None


class CopyStep(TargetedStep, frozen=True, kw_only=True):
    """Have a tool copy the source, which [target] names, to the target.

    Args:
        tool: which.
        method: of redis-cli: "import" copies a single server into a cluster once,
            "rdb" writes what a single server holds to a file.
        program: path of the tool, if it is not found by its name.
        command: of "command": program and arguments. It finds both ends in its
            environment.
        arguments: further ones for the tool.
        file: of "rdb": where to.
        live: of riot: it goes on by keyspace notifications.
        caught_up: of riot and "command": a regular expression. A line of output that
            holds it says that the copy is done and followed from now on. Without it
            the step is over when the tool ends.
        per_shard: of redis-shake: one process for each shard of the source.
        stall_s: it is told if nothing of the copy moves for so long.
        most_lag_bytes: it is told if more than this of the source's stream was not
            passed on.
    """

    tool: Literal["redis-cli", "redis-shake", "riot", "command"]
    method: Literal["import", "rdb"] = "import"
    program: Text | None = None
    command: Command | None = None
    arguments: tuple[Text, ...] = ()
    file: Text | None = None
    live: bool = False
    caught_up: Text | None = None
    per_shard: bool = False
    stall_s: Deadline = 60.0
    most_lag_bytes: Bytes = 64 * 1024 * 1024


class DrainStep(BaseStep, frozen=True, kw_only=True):
    """Have the lanes read only, until they are led to another place."""

    is_mutation: ClassVar[bool] = False

    deadline_s: Deadline = 60.0


class CutoverStep(TargetedStep, frozen=True, kw_only=True):
    """Lead the lanes to the target; copies that follow the source end then.

    Args:
        writers: "drained" has them write nothing from before the move until all are
            there, and waits for the copies meanwhile; "at_once" does not.
        catch_up_s: of "drained": time for a copy that does not tell how far it is
            behind.
    """

    is_mutation: ClassVar[bool] = False

    writers: Literal["drained", "at_once"] = "drained"
    catch_up_s: Seconds = 0.0
    deadline_s: Deadline = 120.0
