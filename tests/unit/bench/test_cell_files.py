"""The two files of a cell."""

import pytest

from loadprobe.bench.cell_files import make_config, make_scenario, with_rates
from loadprobe.config.file import parse_config
from loadprobe.control.scenario.file import find_scenario, parse_scenario
from loadprobe.control.scenario.keys import CreateStep
from loadprobe.errors import ConfigError, UsageError

CONFIG = """
[[lanes]]
name = "a"
rate_per_s = 100

[[lanes]]
name = "b"
"""
PLACE = {"target": {"host": "127.0.0.1", "port": 7000}}
FAILOVER = find_scenario("failover").read_text()


def made(**values: str) -> str:
    """Return the configuration of a cell with these values of keys of all lanes."""
    point = {name.replace("__", "."): value for name, value in values.items()}
    return make_config(CONFIG, point, sections=PLACE, where="bench.toml")


def test_a_key_of_all_lanes() -> None:
    """``lanes.KEY`` is set in every lane, as number, text or flag."""
    config = parse_config(
        made(lanes__rate_per_s="50", lanes__schedule="poisson", tls="on"), where="x"
    )
    assert [lane.rate_per_s for lane in config.lanes] == [50, 50]
    assert [lane.schedule for lane in config.lanes] == ["poisson", "poisson"]
    assert all(lane.tls for lane in config.lanes)


def test_a_key_of_a_section() -> None:
    """A section that the file has not is made; the place's keys are there, too."""
    config = parse_config(made(slo__max_outage_ms="500"), where="x")
    assert config.slo.max_outage_ms == 500
    assert (config.target.host, config.target.port) == ("127.0.0.1", 7000)


def test_a_driver() -> None:
    """``driver`` is that of every lane."""
    config = parse_config(made(driver="redis-py"), where="x")
    assert {lane.driver for lane in config.lanes} == {"redis-py"}


def test_axes_of_the_cluster_are_no_keys() -> None:
    """Shards, replicas, engine and variables change nothing of the configuration."""
    assert made(shards="4", replicas="2", engine="redis-7.0", var__x="1") == made()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lanes.nothing", "1", "lanes[0].nothing"),
        ("lanes.workers", "many", "lanes[0].workers"),
        ("name.x", "1", "'name' is no section"),
        ("driver", "jedis", "lanes[0].driver"),
    ],
)
def test_what_is_no_key_or_value(key: str, value: str, said: str) -> None:
    """The error names the file, the cell and the key."""
    text = 'name = "run"\n' + CONFIG
    with pytest.raises((ConfigError, UsageError)) as caught:
        make_config(text, {key: value}, sections=PLACE, where="bench.toml")
    assert said in str(caught.value)


def test_variables_of_the_scenario() -> None:
    """``var.NAME`` replaces a default; one that there is not is refused."""
    text = make_scenario(FAILOVER, {"var.shard": "0002"}, create=None, where="failover")
    scenario = parse_scenario(text, where="x", name="x")
    assert getattr(scenario.steps[0], "shard") == "0002"  # noqa: B009
    with pytest.raises(UsageError, match="no variable 'shards'; there are shard"):
        make_scenario(FAILOVER, {"var.shards": "1"}, create=None, where="failover")


def test_a_group_that_is_created() -> None:
    """The step that creates it comes first, and nothing keeps the group."""
    step = {"node_type": "cache.r7g.large", "shards": 4, "replicas": 2}
    text = make_scenario(FAILOVER, {}, create=step, where="failover")
    scenario = parse_scenario(text, where="x", name="x")
    first = scenario.steps[0]
    assert isinstance(first, CreateStep)
    assert (first.shards, first.replicas, first.keep) == (4, 2, False)
    assert len(scenario.steps) == 2


def test_rates_keep_their_shares() -> None:
    """A multiple is of every lane's rate, given or not, up to the highest there is."""
    config = parse_config(with_rates(made(), 1.5), where="x")
    assert [lane.rate_per_s for lane in config.lanes] == [150, 1500]
    config = parse_config(with_rates(made(), 5000), where="x")
    assert [lane.rate_per_s for lane in config.lanes] == [500_000, 1_000_000]
