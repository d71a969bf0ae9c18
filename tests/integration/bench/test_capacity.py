"""``loadprobe bench --capacity`` against a server that carries so much and no more."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.bench.capacity import Trial
from loadprobe.core.comparing.document import ComparisonDocument
from tests.scripted.server import ScriptedCluster
from tests.support.benching import ended, started

CAPACITY_PER_S = 1000
CONFIG = """
[target]
host = "127.0.0.1"
port = {port}

[http]
listen = "127.0.0.1:0"

[slo]
p99_ms = 30

[[lanes]]
name = "reads"
workers = 4
rate_per_s = 240
keys = 50
read_ratio = 1.0

[[lanes]]
name = "writes"
workers = 4
rate_per_s = 720
keys = 50
read_ratio = 0.0
"""


@pytest.mark.alone
@pytest.mark.timeout(400)
async def test_a_known_capacity_is_found(tmp_path: Path) -> None:
    """It is found within 5 %, from a rate below it, and lies between two trials."""
    async with ScriptedCluster(shards=1) as server:
        await server.fault("limited", limit_per_s=CAPACITY_PER_S)
        (tmp_path / "b.toml").write_text(CONFIG.format(port=server.port))
        code, out = await ended(
            await started(
                *(tmp_path, "b.toml", "--capacity", "--for", "2s", "--repeat", "1"),
                *("--output", "out"),
            ),
            deadline_s=300,
        )
    assert code == 0, out
    document = msgspec.json.decode(
        (tmp_path / "out" / "compare.json").read_bytes(), type=ComparisonDocument
    )
    figure = document.find("capacity_per_s")
    assert figure is not None, out
    (point,) = figure.repeats[0].points
    assert point.lower == pytest.approx(CAPACITY_PER_S, rel=0.05), out
    assert point.upper == pytest.approx(CAPACITY_PER_S, rel=0.05), out
    lines = (tmp_path / "out" / "all" / "capacity-1" / "capacity.json").read_bytes()
    trials = [msgspec.json.decode(line, type=Trial) for line in lines.splitlines()]
    assert [round(trial.rate_per_s) for trial in trials[:2]] == [960, 1920]
    assert point.lower in [t.rate_per_s for t in trials if not t.missed]
    assert point.upper in [t.rate_per_s for t in trials if t.missed]
