"""The tunnel: where it leads, and which options ssh is given."""

import pytest

from loadprobe.config.file import parse_config
from loadprobe.config.keys import to_plain
from loadprobe.errors import ConfigError
from tests.support.configurations import SMALLEST, with_environment


def test_the_forwards_of_a_tunnel_are_no_part_of_the_configuration() -> None:
    """They are others in every run, and a run that goes on has the same digest."""
    text = SMALLEST + '[target.tunnel]\nssh = "b"\n'
    config = with_environment(text)
    before = to_plain(config)
    config.target.address_map["10.0.0.1:1"] = "127.0.0.1:2"
    assert to_plain(config) == before


@pytest.mark.parametrize(
    "keys",
    [
        'ssh = "-oProxyCommand=evil"',
        'ssh = ""',
        'ssh = " bastion"',
        'ssh = "bastion evil"',
        'ssh = "bastion\\n"',
        'ssh = "b"\noptions = ["-oProxyCommand=evil"]',
        'ssh = "b"\noptions = ["Port"]',
        'ssh = "b"\noptions = [""]',
        'ssh = "b"\noptions = ["="]',
        'ssh = "b"\noptions = ["Port=1\\nProxyCommand=evil"]',
    ],
)
def test_a_tunnel_is_no_option(keys: str) -> None:
    """Where it leads is a host or a login, and an option begins with its name."""
    with pytest.raises(ConfigError, match=r"run\.toml: target\.tunnel"):
        parse_config(f"{SMALLEST}[target.tunnel]\n{keys}\n", where="run.toml")


@pytest.mark.parametrize(
    "option",
    ["LocalForward=1 h:2", "gatewayports yes", "ControlPath=/tmp/x", "BATCHMODE=no"],
)
def test_options_that_are_not_given_to_ssh(option: str) -> None:
    """What is loadprobe's own affair, however it is written."""
    text = f'{SMALLEST}[target.tunnel]\nssh = "b"\noptions = ["{option}"]\n'
    with pytest.raises(ConfigError, match="cannot be given"):
        parse_config(text, where="run.toml")
    with_port = text.replace(option, "Port=2222")
    tunnel = parse_config(with_port, where="run.toml").target.tunnel
    assert tunnel is not None
    assert tunnel.options == ("Port=2222",)
