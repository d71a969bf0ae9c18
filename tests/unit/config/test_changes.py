"""What two configurations differ in, and what of it a run takes over."""

from typing import Any

import msgspec
import pytest

from loadprobe.config.changes import changes
from loadprobe.config.file import parse_config
from loadprobe.config.keys import Config

BASE = """
[target]
host = "h"
username = "app"
password_file = "one"

[[lanes]]
name = "tcp"
rate_per_s = 100

[[lanes]]
name = "fast"
loop = "closed"

[[lanes]]
name = "growing"
schedule = "ramp"
ramp_s = 10
ramp_from_per_s = 1

[[webhooks]]
name = "hook"
kind = "json"
url = "https://h/p"

[slo]
availability = 0.999
"""


def config(*replaced: tuple[str, str], more: str = "") -> Config:
    """Return the configuration with some texts replaced."""
    text = BASE
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return parse_config(text + more, where="test")


SWAPPED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"replaced": ("rate_per_s = 100", "rate_per_s = 7")}, ("lanes.tcp.rate_per_s",)),
    (
        {"replaced": ("rate_per_s = 100", "rate_per_s = 100\ndeadline_ms = 9")},
        ("lanes.tcp.deadline_ms",),
    ),
    (
        {"replaced": ("ramp_s = 10", "ramp_s = 10\ndeadline_ms = 9")},
        ("lanes.growing.deadline_ms",),
    ),
    ({"replaced": ('"one"', '"two"')}, ("target.password_file",)),
    (
        {"replaced": ('"one"', '"one"\naddress_map = { "a:1" = "b:2" }')},
        ("target.address_map",),
    ),
    ({"replaced": ("0.999", "0.9")}, ("slo.availability",)),
    ({"replaced": ("https://h/p", "https://h/q")}, ("webhooks.hook.url",)),
    (
        {"replaced": ('name = "hook"', 'name = "other"')},
        ("webhooks.hook", "webhooks.other"),
    ),
    ({"more": "[output]\nretain_gb = 3.0"}, ("output.retain_gb",)),
    ({"more": "[output]\nresume = true"}, ("output.resume",)),
]
ANEW: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"replaced": ('name = "tcp"', 'name = "udp"')}, ("lanes.tcp", "lanes.udp")),
    ({"replaced": ("rate_per_s = 100", "workers = 7")}, ("lanes.tcp.workers",)),
    ({"replaced": ("ramp_s = 10", "ramp_s = 9")}, ("lanes.growing.ramp_s",)),
    (
        {"replaced": ("ramp_s = 10", "ramp_s = 10\nrate_per_s = 5")},
        ("lanes.growing.rate_per_s",),
    ),
    (
        {"replaced": ('loop = "closed"', 'loop = "closed"\ndeadline_ms = 9')},
        ("lanes.fast.deadline_ms",),
    ),
    (
        {"replaced": ("rate_per_s = 100", "rate_per_s = 100\nttl_s = 3600")},
        ("lanes.tcp.ttl_s",),  # as it was before
    ),
    ({"replaced": ("rate_per_s = 100", "keys = 400000")}, ("lanes.tcp.keys",)),
    ({"more": '[http]\nlisten = ""'}, ("http.listen",)),
    ({"more": "[probe]\nstall_ms = 30"}, ("probe.stall_ms",)),
    ({"replaced": ('host = "h"', 'host = "h"\ntls_port = 7')}, ("target.tls_port",)),
]
FIXED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"replaced": ('host = "h"', 'host = "i"')}, ("target.host",)),
    ({"replaced": ('host = "h"', 'host = "h"\nport = 7')}, ("target.port",)),
    ({"replaced": ("\n[target]", 'name = "other"\n[target]')}, ("name",)),
    ({"more": '[output]\ndir = "elsewhere"'}, ("output.dir",)),
    ({"more": '[control]\nreplication_group = "g"'}, ("control",)),
    ({"replaced": ("rate_per_s = 100", "tls = true")}, ("lanes.tcp.tls",)),
    ({"replaced": ("rate_per_s = 100", 'loop = "closed"')}, ("lanes.tcp.loop",)),
    (
        {"replaced": ("rate_per_s = 100", "value_bytes = 100")},
        ("lanes.tcp.value_bytes",),
    ),
    ({"replaced": ("rate_per_s = 100", "ttl_s = 900")}, ("lanes.tcp.ttl_s",)),
    ({"replaced": ("rate_per_s = 100", "ttl_s = 0")}, ("lanes.tcp.ttl_s",)),
    # So many need a longer TTL than they had.
    ({"replaced": ("rate_per_s = 100", "keys = 500000")}, ("lanes.tcp.ttl_s",)),
]


def changed(change: dict[str, Any]) -> Config:
    """Return the configuration with one change."""
    replaced = [change["replaced"]] if "replaced" in change else []
    return config(*replaced, more=change.get("more", ""))


@pytest.mark.parametrize(("change", "keys"), SWAPPED)
def test_what_is_swapped(change: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Rates, thresholds, webhooks, retention and credentials need no new start."""
    found = changes(config(), changed(change))
    assert (found.swapped, found.anew, found.fixed) == (keys, (), ())


@pytest.mark.parametrize(("change", "keys"), ANEW)
def test_what_needs_a_segment(change: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Anything else does; a lane or section that comes or goes is named as a whole."""
    found = changes(config(), changed(change))
    assert set(keys) <= set(found.anew)
    assert not found.fixed


@pytest.mark.parametrize(("change", "keys"), FIXED)
def test_what_needs_another_run(change: dict[str, Any], keys: tuple[str, ...]) -> None:
    """What says what is measured stays, and what the figures of a lane mean."""
    assert changes(config(), changed(change)).fixed == keys


def test_no_change() -> None:
    """The same again is no change, and so is another order of lanes."""
    assert not changes(config(), config())
    swapped = config(('name = "tcp"\nrate_per_s = 100', 'name = "x"'))
    lanes = (*reversed(swapped.lanes),)
    assert not changes(swapped, msgspec.structs.replace(swapped, lanes=lanes))
