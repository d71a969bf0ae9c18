"""Whatever is in a configuration, it is read or refused with its place."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.config.file import parse_config
from loadprobe.control.scenario.file import parse_scenario
from loadprobe.errors import ConfigError, UsageError
from tests.fuzz import examples

KEYS = st.sampled_from(
    [
        "host",
        "port",
        "tls_port",
        "name",
        "workers",
        "rate_per_s",
        "loop",
        "keys",
        "value_bytes",
        "key_prefix",
        "password_env",
        "operation",
        "shard",
        "seconds",
        "description",
        "listen",
        "url",
        "kind",
        "directory",
        "retain_days",
        "replication_group",
        "endpoint_url",
    ]
)
TABLES = st.sampled_from(
    [
        "[target]",
        "[probe]",
        "[output]",
        "[http]",
        "[slo]",
        "[control]",
        "[remote_write]",
        "[[lanes]]",
        "[[webhooks]]",
        "[[steps]]",
        "[expect]",
        "[abort]",
        "[lanes.client]",
        "[[[",
    ]
)
VALUES = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.text(max_size=12).map(lambda text: f"'{text}'"),
    st.sampled_from(
        [
            '"h"',
            '"closed"',
            "[]",
            "{}",
            "[[1]]",
            '""',
            "1e400",
            "0x" + "f" * 40,
            "1979-05-27",
            "[" * 500 + "]" * 500,
            "9" * 5_000,
        ]
    ),
)
LINES = st.one_of(
    TABLES,
    st.builds(lambda key, value: f"{key} = {value}", KEYS, VALUES),
    st.text(max_size=20),
)


@examples(150)
@given(st.lists(LINES, max_size=14))
def test_any_configuration(lines: list[str]) -> None:
    """A ConfigError says where; nothing else comes of it."""
    for head in ("", '[target]\nhost = "h"\n[[lanes]]\nname = "tcp"\n'):
        with suppress(ConfigError):
            parse_config(head + "\n".join(lines), where="run.toml")


@examples(100)
@given(st.lists(LINES, max_size=14))
def test_any_scenario(lines: list[str]) -> None:
    """A UsageError says where; nothing else comes of it."""
    for head in ("", 'description = "d"\n[[steps]]\noperation = "failover"\n'):
        with suppress(UsageError):
            parse_scenario(head + "\n".join(lines), where="s.toml", name="s")
