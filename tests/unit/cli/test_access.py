"""``loadprobe access nat``: what is printed and compared, of a cluster it asks."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from loadprobe.cli.app import app
from loadprobe.control.reach.nat import NatPlan, plan_nat
from loadprobe.control.reach.rules import read_rules
from loadprobe.core.topology.announced import Announced
from loadprobe.errors import UsageError

CONFIG = '[target]\nhost = "cfg.example"\n{more}[[lanes]]\nname = "tcp"\n'
OUTSIDE = ("--outside", "203.0.113.5", "--first-port", "7001")


def plan() -> NatPlan:
    """Return the plan of a cluster of one node."""
    node = Announced((("10.0.0.1", 6379),), "10.0.0.1", "a")
    return plan_nat(
        [(node, "0001 primary")],
        outside="203.0.113.5",
        first_port=7001,
        known={},
        endpoints=["cfg.example:6379"],
    )


def access(
    folder: Path, *options: str, more: str = "", given: str | None = None
) -> Any:
    """Run the command; return what became of it."""
    path = folder / "run.toml"
    path.write_text(CONFIG.format(more=more))
    command = ["access", "nat", str(path), *OUTSIDE, *options]
    return CliRunner().invoke(app, command, input=given)


@pytest.fixture(autouse=True)
def _asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find(*_: object, **__: object) -> NatPlan:
        return plan()

    monkeypatch.setattr("loadprobe.run.access.find_nat", find)


def test_everything_is_printed_in_each_form(tmp_path: Path) -> None:
    """The map, the rules of both tools, and how to load them."""
    done = access(tmp_path)
    assert done.exit_code == 0, done.output
    for text in (
        '"10.0.0.1:6379" = "203.0.113.5:7001"',
        "tcp dport 7001 dnat to 10.0.0.1:6379",
        "--dport 7001 ",
        "iptables -t nat -A PREROUTING",
        "nft -f FILE",
    ):
        assert text in done.output


@pytest.mark.parametrize("form", ["nft", "iptables"])
def test_what_is_printed_is_right_when_it_is_compared(
    tmp_path: Path, form: str
) -> None:
    """One form alone is a file for the tool, and nothing is wrong with it."""
    rules = access(tmp_path, "--format", form).output
    assert read_rules(rules) == {7001: ("10.0.0.1", 6379)}
    done = access(tmp_path, "--check", "-", given=rules)
    assert done.exit_code == 0, done.output
    assert "all 1 nodes are reached" in done.output


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    """Each problem is a line on standard output, and the exit code tells a script."""
    (tmp_path / "rules").write_text(
        "-A PREROUTING -p tcp --dport 7009 -j DNAT --to-destination 10.0.0.9:6379\n"
    )
    done = access(tmp_path, "--check", str(tmp_path / "rules"))
    assert done.exit_code == 3
    assert done.stdout.splitlines() == [
        "no rule leads to 10.0.0.1:6379 (0001 primary): add one from port 7001",
        (
            "port 7009 leads to 10.0.0.9:6379, which is no node of the cluster (any "
            "more): remove its rule"
        ),
    ]


def test_rules_that_cannot_be_read(tmp_path: Path) -> None:
    """It is said which file, before the cluster is asked."""
    done = access(tmp_path, "--check", str(tmp_path / "none"))
    assert isinstance(done.exception, UsageError)
    assert "none' cannot be read" in str(done.exception)
