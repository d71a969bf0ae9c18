"""``loadprobe access iam``: a policy on standard output, or why there is none."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadprobe.cli.app import app
from loadprobe.control.permissions.grants import WATCH, actions_of
from loadprobe.errors import UsageError

CONFIG = """
[control]
replication_group = "rg"
region = "eu-west-1"
[[lanes]]
name = "tls"
tls = true
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Return the path of a configuration."""
    path = tmp_path / "my.toml"
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.parametrize(
    ("options", "purposes"),
    [
        ([], ()),
        (["--scenario", "failover", "--account", "123456789012"], ("failover",)),
        (["--scenario", "failover", "--var", "shard=0002"], ("failover",)),
        (["--scenario", "scale-out-in"], ("scale",)),
    ],
)
def test_a_policy_for_a_run(
    config: str, options: list[str], purposes: tuple[str, ...]
) -> None:
    """It allows what the scenario does, and is about the group alone."""
    result = CliRunner().invoke(app, ["access", "iam", config, *options])

    statements = json.loads(result.stdout)["Statement"]
    found = {action for statement in statements for action in statement["Action"]}
    wanted = actions_of(WATCH, *purposes)
    assert found == {
        "cloudwatch:GetMetricData",
        *(f"elasticache:{action}" for action in wanted),
    }
    account = "123456789012" if "--account" in options else "*"
    (first, *_) = statements
    assert first["Resource"] == [
        f"arn:aws:elasticache:eu-west-1:{account}:replicationgroup:rg"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--account", "12345"], "--account '12345' is no account of AWS: 12 digits"),
        (["--var", "shard=0002"], "--var and --dry-run are about a scenario"),
        (["--scenario", "no-such"], "no-such"),
    ],
)
def test_what_is_refused(config: str, options: list[str], message: str) -> None:
    """Nothing is printed for what cannot be meant."""
    result = CliRunner().invoke(app, ["access", "iam", config, *options])

    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert result.stdout == ""
