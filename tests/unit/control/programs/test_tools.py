"""The command lines of the tools: complete, and without a secret in them."""

from dataclasses import replace

import pytest

from loadprobe.control.programs.ends import DataEnd
from loadprobe.control.programs.tools import (
    ToolRun,
    any_command,
    redis_cli_import,
    redis_cli_rdb,
    redis_shake,
    riot,
)
from loadprobe.control.provider.secret import Secret
from loadprobe.errors import ControlError

SOURCE = DataEnd("10.0.0.5", 6379, username="me", password=Secret("from:secret"))
TARGET = DataEnd(
    "db.example.com", 6380, is_cluster=True, password=Secret('to"secret'), ca_file="ca"
)


def runs() -> list[ToolRun]:
    """Return one of each."""
    return [
        redis_cli_import("redis-cli", SOURCE, TARGET),
        redis_cli_rdb("redis-cli", SOURCE, "dump.rdb"),
        riot("riot", SOURCE, TARGET, live=True, caught_up="x"),
        any_command(["copy", "--all"], SOURCE, TARGET, caught_up=""),
        redis_shake("redis-shake", SOURCE, TARGET, status_port=9_000),
    ]


def test_no_secret_is_in_a_command_line() -> None:
    """Everybody on the machine can read those."""
    for run in runs():
        words = " ".join(run.command)
        assert "secret" not in words, run.command


def test_redis_cli_import() -> None:
    """Both ends, and the password of the source by standard input."""
    run = redis_cli_import("redis-cli", SOURCE, TARGET, ["--cluster-yes"])
    assert run.command == (
        *("redis-cli", "--cluster", "import", "db.example.com:6380"),
        *("--cluster-from", "10.0.0.5:6379", "--cluster-copy", "--cluster-replace"),
        *("--cluster-yes", "--cluster-from-askpass", "--cluster-from-user", "me"),
    )
    assert run.env == {"REDISCLI_AUTH": 'to"secret'}
    assert run.asks == b"from:secret\n"


@pytest.mark.parametrize(
    ("source", "target", "what"),
    [
        (replace(SOURCE, is_cluster=True), TARGET, "the source runs in cluster mode"),
        (SOURCE, replace(TARGET, is_cluster=False), "the target is without cluster"),
        (SOURCE, replace(TARGET, tls=True), "one end has TLS and the other has not"),
    ],
)
def test_what_import_cannot_do(source: DataEnd, target: DataEnd, what: str) -> None:
    """It is told before it is tried."""
    with pytest.raises(ControlError, match=what):
        redis_cli_import("redis-cli", source, target)


def test_redis_cli_rdb() -> None:
    """The password is in the environment; a cluster is more than one file."""
    run = redis_cli_rdb("redis-cli", replace(SOURCE, tls=True, ca_file="ca"), "a.rdb")
    assert run.command == (
        *("redis-cli", "-h", "10.0.0.5", "-p", "6379", "--user", "me", "--tls"),
        *("--cacert", "ca", "--rdb", "a.rdb"),
    )
    assert run.env == {"REDISCLI_AUTH": "from:secret"}
    with pytest.raises(ControlError, match="take a snapshot of each shard"):
        redis_cli_rdb("redis-cli", TARGET, "a.rdb")


def test_riot_reads_its_arguments_from_a_file() -> None:
    """URLs with passwords are in it, escaped twice: for a URL, and for the file."""
    run = riot("riot", SOURCE, TARGET, live=True, caught_up="idle", more=["--show"])
    assert run.command == ("riot", "@{arguments}")
    assert run.caught_up == "idle"
    assert run.files["arguments"].splitlines() == [
        '"replicate"',
        '"redis://me:from%3Asecret@10.0.0.5:6379"',
        '"redis://:to%22secret@db.example.com:6380"',
        '"--mode"',
        '"live"',
        '"--target-cluster"',
        '"--cacert"',
        '"ca"',
        '"--show"',
    ]


def test_any_command_finds_both_ends() -> None:
    """In its environment."""
    env = any_command(["copy"], SOURCE, TARGET, caught_up="").env
    assert env["SOURCE_HOST"] == "10.0.0.5"
    assert env["SOURCE_PASSWORD"] == "from:secret"
    assert (env["TARGET_CLUSTER"], env["SOURCE_CLUSTER"]) == ("1", "")
    assert env["TARGET_PORT"] == "6380"


def test_a_host_is_no_option() -> None:
    """Redis-cli would take one that begins so for an option of its own."""
    for source, target in (
        (replace(SOURCE, host="-x"), TARGET),
        (SOURCE, replace(TARGET, host="--eval")),
    ):
        with pytest.raises(ControlError, match="is no host"):
            redis_cli_import("redis-cli", source, target)
