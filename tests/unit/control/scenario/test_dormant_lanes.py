"""Lanes that a scenario brings: added to those of the configuration, or refused."""

import pytest

from loadprobe.config.file import add_lanes
from loadprobe.config.keys import LARGEST_LANES, Client, Config, Lane, Target
from loadprobe.control.scenario.file import Scenario, check_lanes, load_scenario
from loadprobe.control.scenario.keys import ExpectedDark
from loadprobe.errors import ConfigError

CONFIG = Config(target=Target(host="localhost"), lanes=(Lane("tcp"),))
APP = Lane("app", driver="redis-py", workers=5)


def test_they_are_added_at_the_end() -> None:
    """The lanes of the configuration stay as they are, and first."""
    assert add_lanes(CONFIG, (), where="s") is CONFIG
    added = add_lanes(CONFIG, (APP,), where="s")
    assert added.lanes == (*CONFIG.lanes, APP)


@pytest.mark.parametrize(
    ("lanes", "message"),
    [
        ((Lane("tcp"),), "s: lanes[0].name: 'tcp' is used by another lane; rename one"),
        ((APP, APP), "s: lanes[1].name: 'app' is used by another lane; rename one"),
        (
            (Lane("a", client=Client()),),
            (
                "s: lanes[0].client: the wire driver has no settings; remove it, or "
                "set another driver"
            ),
        ),
        (
            (Lane("a", workers=1, processes=2),),
            (
                "s: lanes[0].processes: 2 processes cannot share 1 workers; "
                "lower processes, or raise workers"
            ),
        ),
        (
            tuple(Lane(f"a{number}") for number in range(LARGEST_LANES)),
            (
                "s: lanes: 32 beside 1 of the configuration; at most 32 can run, "
                "remove some"
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused(lanes: tuple[Lane, ...], message: str) -> None:
    """The scenario, the key and the remedy are named."""
    with pytest.raises(ConfigError) as caught:
        add_lanes(CONFIG, lanes, where="s")
    assert str(caught.value) == message


def test_they_may_be_expected_to_be_dark() -> None:
    """A scenario's own lanes are lanes of the run."""
    dark = (ExpectedDark(dark=("app",), from_step="x"),)
    scenario = Scenario("s", "x", lanes=(APP,), expected=dark)
    check_lanes(scenario, ["tcp"], where="s")
    with pytest.raises(ConfigError, match="'app' is no lane of this run"):
        check_lanes(Scenario("s", "x", expected=dark), ["tcp"], where="s")


def test_the_client_matrix_fits_every_transport() -> None:
    """Four sets of settings on one transport, at a rate and with workers to choose."""
    given = {"tls": "true", "rate_per_s": "50", "workers": "7", "shard": "0002"}
    scenario = load_scenario("client-matrix", given)
    added = add_lanes(CONFIG, scenario.lanes, where="client-matrix").lanes[1:]
    assert len({lane.client for lane in added}) == 4
    for lane in added:
        assert (lane.driver, lane.tls) == ("redis-py", True)
        assert (lane.rate_per_s, lane.workers) == (50, 7)
