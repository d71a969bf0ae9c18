"""Variables of the environment, which win over the file."""

from pathlib import Path

import pytest

from loadprobe.config.file import load_config
from loadprobe.config.keys import SECTIONS, Target, to_plain
from loadprobe.errors import ConfigError
from tests.support.configurations import FIELDS, SMALLEST, with_environment

URL_KEY = "LOADPROBE_REMOTE_WRITE_URL"


def test_the_environment_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOADPROBE_<SECTION>_<KEY> wins over the file, also over a section it lacks."""
    path = tmp_path / "run.toml"
    path.write_text(f'{SMALLEST}[http]\nlisten = "127.0.0.1:1"\n')
    for name, value in {
        "NAME": "night",
        "TARGET_HOST": "other.example.com",
        "TARGET_PORT": "7000",
        "TARGET_CLUSTER": "false",
        "HTTP_LISTEN": "",
        "SLO_P99_MS": "2.5",
        "CONTROL_REPLICATION_GROUP": "007",
    }.items():
        monkeypatch.setenv(f"LOADPROBE_{name}", value)
    config = load_config(str(path))
    assert config.name == "night"
    assert config.target == Target("other.example.com", port=7000, cluster=False)
    assert (config.http.listen, config.slo.p99_ms) == ("", 2.5)
    assert config.control is not None
    assert config.control.replication_group == "007"


def test_every_scalar_key_has_a_variable() -> None:
    """Each key outside of the lanes has a variable; it may refuse the value."""
    for section, field in FIELDS:
        tables = (*SECTIONS, "address_map", "extra_labels", "tunnel")
        if section.startswith(("lanes", "webhooks", "target.")):
            continue
        if field.name in tables:
            continue
        name = "_".join(filter(None, ("LOADPROBE", section, field.name))).upper()
        try:
            with_environment(**{name: "\N{SNOWMAN}"})
        except ConfigError as exc:
            assert "not the environment variable" not in str(exc)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "LOADPROBE_TARGET_HOSTS",
            "x",
            (
                "LOADPROBE_TARGET_HOSTS: not the environment variable of a key; did "
                "you mean 'LOADPROBE_TARGET_HOST'? (or unset it)"
            ),
        ),
        (
            "LOADPROBE_TARGET_PORT",
            "70000",
            (
                "LOADPROBE_TARGET_PORT: '70000' is not usable; expected a whole number "
                "from 1 to 65535"
            ),
        ),
        (
            "LOADPROBE_PROBE_STALL_MS",
            "20ms",
            (
                "LOADPROBE_PROBE_STALL_MS: '20ms' is not usable; expected a whole "
                "number from 5 to 1000 (milliseconds, without the unit)"
            ),
        ),
        (
            "LOADPROBE_TARGET_CLUSTER",
            "maybe",
            "LOADPROBE_TARGET_CLUSTER: 'maybe' is not usable; expected true or false",
        ),
    ],
)
def test_wrong_variables(name: str, value: str, message: str) -> None:
    """A variable of no key, or with a wrong value, is refused by its name."""
    with pytest.raises(ConfigError) as caught:
        with_environment(**{name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name", ["LOADPROBE_LANES", "LOADPROBE_WEBHOOKS", "LOADPROBE_TARGET_ADDRESS_MAP"]
)
def test_tables_have_no_variable(name: str) -> None:
    """Lanes and tables cannot be set by the environment."""
    with pytest.raises(ConfigError, match="not the environment variable of a key"):
        with_environment(**{name: "x"})


def test_the_variable_of_the_password_is_not_a_key() -> None:
    """A LOADPROBE_ variable may hold the password, wherever it is named."""
    text = SMALLEST.replace("\n\n", '\npassword_env = "LOADPROBE_PASSWORD"\n\n')
    assert with_environment(text, LOADPROBE_PASSWORD="hunter2").target.password_env
    named = {"LOADPROBE_TARGET_PASSWORD_ENV": "LOADPROBE_SECRET"}
    assert with_environment(**named, LOADPROBE_SECRET="hunter2").target.password_env
    with pytest.raises(ConfigError) as caught:
        with_environment(LOADPROBE_PASSWORD="hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_receiver_by_the_environment() -> None:
    """The section may come from variables alone; its password is none of them."""
    text = f'{SMALLEST}\n[remote_write]\nusername = "me"\n'
    text += 'extra_labels = { job = "x" }\n'
    given = {
        URL_KEY: "https://[::1]:9090/api/v1/write",
        "LOADPROBE_REMOTE_WRITE_PASSWORD_ENV": "LOADPROBE_SECRET",
        "LOADPROBE_SECRET": "hunter2",
    }
    config = with_environment(text, **given)
    assert config.remote_write is not None
    assert config.remote_write.url == given[URL_KEY]
    assert "hunter2" not in str(to_plain(config))
    in_file = text + f'password_env = "LOADPROBE_SECRET"\nurl = "{given[URL_KEY]}"\n'
    assert with_environment(in_file, LOADPROBE_SECRET="hunter2").remote_write


def test_a_wrong_section_is_told_before_its_overrides() -> None:
    """An override into something that is no section does not hide that."""
    with pytest.raises(ConfigError, match="target: 1 is not usable"):
        with_environment("target = 1\nlanes = []\n", LOADPROBE_TARGET_HOST="x")
