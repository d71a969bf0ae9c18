"""The files of docs/examples are those that the commands there take."""

from pathlib import Path

import pytest

from loadprobe.bench.cell_files import make_config, make_scenario
from tests.support.paths import ROOT

EXAMPLES = ROOT / "docs" / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_files_can_be_run(folder: Path) -> None:
    """Configuration and scenario are right, and the page has what was found."""
    (config,) = [path for path in folder.glob("*.toml") if path.stem != "failover"]
    place = {"target": {"host": "local"}}
    make_config(config.read_text(), {}, sections=place, where=str(config))
    scenario = folder / "failover.toml"
    make_scenario(scenario.read_text(), {}, create=None, where=str(scenario))
    assert (
        f"bench {config.name} --scenario ./failover.toml"
        in (EXAMPLES / "README.md").read_text()
    )
    assert "Content-Security-Policy" in (folder / "compare.html").read_text()
