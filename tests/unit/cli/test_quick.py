"""Options instead of a file, and conditions instead of thresholds."""

import re
from pathlib import Path

import pytest

from loadprobe.cli.fail_if import with_limits
from loadprobe.cli.quick import Quick, refuse_bare_endpoint
from loadprobe.config.file import parse_config
from loadprobe.config.keys import Config, Slo
from loadprobe.errors import UsageError

FILE = """
[target]
host = "127.0.0.1"
port = 7000
ca_file = "ca.pem"
username = "ann"
password_env = "PASSWORD"
[[lanes]]
name = "tls"
tls = true
workers = 20
rate_per_s = 500.0
read_ratio = 0.75
value_bytes = 100
keys = 1000
[http]
listen = "127.0.0.1:0"
"""
ALL = Quick(
    rate=500.0,
    workers=20,
    tls=True,
    cacert="ca.pem",
    user="ann",
    password_env="PASSWORD",
    ratio="1:3",
    data_size=100,
    keys=1000,
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no configuration in the environment."""
    for name in ("LOADPROBE_TARGET_HOST", "LOADPROBE_OUTPUT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_it_is_what_a_file_would_be() -> None:
    """There is one kind of configuration: every option is a key of it."""
    config = parse_config(FILE, where="run.toml")
    assert ALL.config("redis://127.0.0.1:7000") == config
    assert ALL.config("rediss://ann@127.0.0.1:7000") == config


def test_defaults_are_those_of_a_file() -> None:
    """What is not said is as in a file that does not say it."""
    file = '[target]\nhost = "h"\n[[lanes]]\nname = "tcp"\n'
    config = parse_config(f'{file}[http]\nlisten = "127.0.0.1:0"\n', where="run.toml")
    assert Quick().config("redis://h") == config


def test_the_environment_goes_under_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The URL that was typed counts, whatever a shell has for other runs."""
    monkeypatch.setenv("LOADPROBE_TARGET_HOST", "elsewhere")
    monkeypatch.setenv("LOADPROBE_OUTPUT_DIR", "here")
    config = Quick().config("redis://h")
    assert (config.target.host, config.output.dir) == ("h", "here")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (Quick(rate=-1.0), "lanes[0].rate_per_s: -1.0 is not usable"),
        (Quick(workers=0), "lanes[0].workers: 0 is not usable"),
        (Quick(data_size=1), "lanes[0].value_bytes: 1 is not usable"),
        (Quick(user="ann"), "target.username: a user needs password_file or"),
        (Quick(password_env="A", password_file="b"), "not both"),
        (Quick(ratio="4"), "--ratio '4' is not of the form SET:GET"),
        (Quick(ratio="0:0"), "--ratio '0:0' is not of the form SET:GET"),
    ],
)
def test_wrong_options(said: Quick, problem: str) -> None:
    """They are refused as keys of a file are."""
    with pytest.raises(UsageError, match=re.escape(problem)):
        said.config("redis://h")


@pytest.mark.parametrize(
    ("said", "option"), [(Quick(rate=1.0), "--rate"), (Quick(data_size=64), "--data-s")]
)
def test_a_file_has_keys_for_that(said: Quick, option: str) -> None:
    """Beside a file an option would say twice what the file says."""
    with pytest.raises(UsageError, match=f"^{option}.*set it in my.toml"):
        said.refuse("my.toml")
    Quick().refuse("my.toml")


def test_an_endpoint_without_a_scheme_is_recognised(tmp_path: Path) -> None:
    """Who forgets the scheme is told so, unless it is the name of a file."""
    for text in ("localhost", "127.0.0.1", "h:7000"):
        with pytest.raises(UsageError, match=f"write redis://{text}"):
            refuse_bare_endpoint(text)
    refuse_bare_endpoint("my.toml")
    file = tmp_path / "h:7000"
    file.touch()
    refuse_bare_endpoint(str(file))


def limits(*conditions: str) -> Slo:
    """Return the thresholds of a configuration after conditions."""
    config = parse_config(f"{FILE}[slo]\np99_ms = 3.0\n", where="run.toml")
    changed: Config = with_limits(config, conditions)
    return changed.slo


def test_conditions_are_thresholds() -> None:
    """Each goes over its key of [slo]; the others stay."""
    assert limits() == Slo(p99_ms=3.0)
    assert limits("outage_ms > 100", "availability<0.999") == Slo(100.0, 0.999, 3.0)
    assert limits("p99_ms > 5") == Slo(p99_ms=5.0)
    counted = limits("lost_writes > 0", "errors > 12", "blind_ms > 250.5")
    assert counted == Slo(None, None, 3.0, 0, 12, 250.5)


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        (["outage_ms"], "is no condition"),
        (["dark_ms > 3"], "not judged by 'dark_ms', only by outage_ms, availability"),
        (["outage_ms > 1.1x"], "write 'outage_ms > 1.1'"),
        (["outage_ms.p50 > 100"], "write 'outage_ms > 100'"),
        (["outage_ms < 100"], "is written 'outage_ms > 100'"),
        (["outage_ms >= 100"], "is written 'outage_ms > 100'"),
        (["availability > 0.9"], "is written 'availability < 0.9'"),
        (["availability < 99"], "expected a ratio from 0 to 1"),
        (["errors > 0.5"], "expected a whole number from 0"),
        (["p99_ms > 0"], "expected a number above 0"),
        (["p99_ms > 1", "p99_ms > 2"], "there is another one of this figure"),
    ],
)
def test_what_is_no_condition_of_a_run(conditions: list[str], problem: str) -> None:
    """It is refused before anything is run, and says how it is written."""
    with pytest.raises(UsageError, match=f"^--fail-if .*{re.escape(problem)}"):
        limits(*conditions)
