"""Logins of an IAM user: tokens are fresh, and no login gets old, in virtual time."""

from itertools import pairwise
from typing import Any

import pytest

from loadprobe.config.file import parse_config
from loadprobe.config.keys import Target
from loadprobe.core.events import CredentialsChanged, Event, RunProblem
from loadprobe.errors import ConfigError, PreflightError
from loadprobe.run.iam import FRESH_S, RENEW_S, SPREAD_S, IamLogins

S = 1_000_000_000
TARGET = Target(host="h", iam_user="app", iam_cache="c", iam_region="r")
CUT_S = 12 * 3600
TOKEN_S = 900


class Stage:
    """Logins, who uses them, and a clock."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.made = 0
        self.is_refused = False
        self.told: list[tuple[float, Any, Any, float | None]] = []
        self.events: list[Event] = []
        self.logins = IamLogins(
            TARGET,
            self,
            self.events.append,
            make=self.make,
            now_ns=lambda: self.now_ns,
        )

    def make(self) -> str:
        """Make a token."""
        if self.is_refused:
            raise PreflightError("no AWS credentials are found")
        self.made += 1
        return f"token-{self.made}"

    def use_login(
        self,
        username: str | None,
        password: str | None,
        *,
        renew_s: float | None = None,
    ) -> None:
        """Take a login."""
        self.told.append((self.now_ns / S, username, password, renew_s))

    def use_certificates(self, target: Target) -> None:
        """Take certificates (nobody has any)."""
        raise NotImplementedError


async def test_two_days() -> None:
    """A token is told before the last is stale, a login renewed before it is cut."""
    stage = Stage()
    await stage.logins.begin()
    while stage.now_ns < 48 * 3600 * S:
        stage.now_ns += int(FRESH_S * S)
        assert await stage.logins.refresh()
    times = [at for at, *_ in stage.told]
    assert max(b - a for a, b in pairwise(times)) < TOKEN_S
    assert {user for _, user, _, _ in stage.told} == {"app"}
    renewals = [0.0, *(at for at, _, _, renew_s in stage.told if renew_s is not None)]
    assert {r for *_, r in stage.told} == {None, SPREAD_S}
    # A connection is renewed at any time of the spread: at its begin, then at its end.
    gaps = [b - a + SPREAD_S for a, b in pairwise(renewals)]
    assert max(gaps) < CUT_S
    assert min(gaps) > RENEW_S * 0.9
    renewed = [e for e in stage.events if isinstance(e, CredentialsChanged)]
    assert len(renewed) == len(renewals) - 1
    assert {(e.what, e.by) for e in renewed} == {(("iam_user",), "iam")}
    assert "token" not in repr(stage.events)


async def test_without_credentials() -> None:
    """The last token stays; it is told once, and ends when there is one again."""
    stage = Stage()
    await stage.logins.begin()
    stage.is_refused = True
    for _ in range(3):
        assert not await stage.logins.refresh()
    assert stage.logins.problem == "no AWS credentials are found"
    assert len(stage.told) == 1
    assert [type(event) for event in stage.events] == [RunProblem]
    stage.is_refused = False
    assert await stage.logins.refresh()
    assert stage.logins.problem is None


async def test_lanes_that_went_over_get_no_token() -> None:
    """A token is for one cache; the lanes are at another cluster."""
    stage = Stage()
    await stage.logins.begin()
    stage.logins.is_over = True
    assert await stage.logins.refresh()
    assert len(stage.told) == 1


async def test_a_refused_login_is_renewed_with_the_next_token() -> None:
    """What a server refused once is tried again before its time."""
    stage = Stage()
    await stage.logins.begin()
    await stage.logins.refresh()
    stage.logins.renew_soon()
    await stage.logins.refresh()
    assert [renew_s for *_, renew_s in stage.told] == [None, None, SPREAD_S]


BASE = """
[target]
host = "h"
iam_user = "app"
{keys}
[[lanes]]
name = "tls"
tls = {tls}
{more}
"""
CONTROL = '[control]\nreplication_group = "g"\nregion = "eu-west-1"'


def config(keys: str, more: str = "", *, tls: str = "true") -> Target:
    """Return the target of a configuration."""
    return parse_config(BASE.format(keys=keys, tls=tls, more=more), where="run").target


def test_for_what_tokens_are() -> None:
    """The cache and region are those of [control], if they are not given."""
    found = config("", CONTROL)
    assert (found.username, found.iam_cache, found.iam_region) == (
        "app",
        "g",
        "eu-west-1",
    )
    found = config('iam_cache = "c"\niam_region = "r"\niam_serverless = true')
    assert (found.iam_cache, found.iam_region) == ("c", "r")
    assert found.iam_serverless
    found = config("", CONTROL.replace("replication_group", "serverless_cache"))
    assert (found.iam_cache, found.iam_serverless) == ("g", True)
    assert not config("", CONTROL).iam_serverless


@pytest.mark.parametrize(
    ("keys", "more", "tls", "why"),
    [
        ("", "", "true", "iam_cache: a token is for one cache"),
        ('iam_cache = "c"', "", "true", "iam_region: missing"),
        ('password_file = "p"', CONTROL, "true", "remove those"),
        ("", CONTROL, "false", "over TLS only"),
    ],
)
def test_what_does_not_fit(keys: str, more: str, tls: str, why: str) -> None:
    """A token takes the place of a password, needs a cache, a region and TLS."""
    with pytest.raises(ConfigError, match=why):
        config(keys, more, tls=tls)
