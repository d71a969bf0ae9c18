"""`make stack`: what it starts besides the run is given all that is provisioned."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tools.stack import ROOT, grafana

FAKE = """#!{python}
import json, os, sys, time
with open({seen!r} + ".new", "w") as out:
    json.dump({{"arguments": sys.argv[1:], "env": dict(os.environ)}}, out)
os.rename({seen!r} + ".new", {seen!r})
time.sleep(60)
"""


async def test_grafana_is_provisioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grafana-server on PATH gets the data source and the folder of dashboards."""
    seen = tmp_path / "seen.json"
    program = tmp_path / "grafana-server"
    program.write_text(FAKE.format(python=sys.executable, seen=str(seen)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    async with grafana(tmp_path, database="http://127.0.0.1:1") as address:
        async with asyncio.timeout(20):
            while not seen.exists():
                await asyncio.sleep(0.01)
    found = json.loads(seen.read_text())

    env = found["env"]
    assert env["PROMETHEUS_URL"] == "http://127.0.0.1:1"
    assert env["DASHBOARDS_PATH"] == str(ROOT / "grafana")
    assert (Path(env["GF_PATHS_PROVISIONING"]) / "dashboards").is_dir()
    assert address == f"http://127.0.0.1:{env['GF_SERVER_HTTP_PORT']}"
    assert found["arguments"][0].startswith("--homepath=")


async def test_no_grafana_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one there is none, and the rest goes on."""
    monkeypatch.setenv("PATH", str(tmp_path))

    async with grafana(tmp_path, database="http://127.0.0.1:1") as address:
        assert address is None
