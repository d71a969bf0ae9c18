"""``loadprobe bench`` as a person runs it: real clusters, signals, and going on."""

import asyncio
import signal
from pathlib import Path

import msgspec
import pytest

from loadprobe.bench.manifest import read_ended, read_manifest
from loadprobe.clock import mono_now_ns
from loadprobe.core.comparing.document import ComparisonDocument
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from tests.support.benching import DEADLINE_S, ended, started

pytestmark = pytest.mark.alone

LANES = """
[http]
listen = "127.0.0.1:0"

[[lanes]]
name = "tcp"
workers = 4
rate_per_s = 200
keys = 100
"""
QUICK = """
description = "Fail a shard over at once"
baseline_s = 0.5
after_s = 0.5

[[steps]]
operation = "failover"
shard = "0001"
hold_after_s = 0

[expect]
max_lost_writes = "any"
"""
NOTHING = """
description = "Watch a group that was made for it"
baseline_s = 0.5
after_s = 0.5

[[steps]]
operation = "hold"
seconds = 1
hold_after_s = 0
"""


async def test_a_bench_goes_on_at_the_very_cell(tmp_path: Path) -> None:
    """Told to end in its second cell, it sets that aside; resumed, it runs the rest."""
    (tmp_path / "b.toml").write_text(LANES)
    bench = tmp_path / "out"
    process = await started(
        *(tmp_path, "b.toml", "--for", "2s", "--repeat", "1", "--seed", "2"),
        *("--set", "lanes.rate_per_s=100,200", "--shards", "1", "--replicas", "0"),
        *("--output", "out"),
    )
    deadline = mono_now_ns() + int(DEADLINE_S * 1e9)
    while not (bench / "cells.ndjson").exists():
        assert mono_now_ns() < deadline
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, out = await ended(process)
    assert code == 1, out
    assert "go on with: loadprobe bench --resume out" in out
    first = read_ended(bench)
    assert len(first) == 1

    code, out = await ended(await started(tmp_path, "--resume", "out"))
    assert code == 0, out
    assert read_ended(bench)[0] == first[0], "what had ended is not run again"
    labels = [cell.label for cell in read_ended(bench)]
    assert labels == [cell.label for cell in read_manifest(bench).cells()]
    document = msgspec.json.decode(
        (bench / "compare.json").read_bytes(), type=ComparisonDocument
    )
    assert [g.label for g in document.groups] == [
        "lanes.rate_per_s=100",
        "lanes.rate_per_s=200",
    ]
    served = document.find("tcp served_per_s")
    assert served is not None
    low, high = (repeats.median for repeats in served.repeats)
    assert low < high
    assert document.obstacles == [o for o in document.obstacles if "blind" in o]


async def test_a_scenario_in_every_cell(tmp_path: Path) -> None:
    """Each cell has a cluster of its own, of its shape; its failover is measured."""
    (tmp_path / "b.toml").write_text(LANES)
    (tmp_path / "quick.toml").write_text(QUICK)
    code, out = await ended(
        await started(
            *(tmp_path, "b.toml", "--scenario", "./quick.toml", "--repeat", "1"),
            *("--shards", "1,3", "--output", "out"),
        )
    )
    assert code == 0, out
    document = msgspec.json.decode(
        (tmp_path / "out" / "compare.json").read_bytes(), type=ComparisonDocument
    )
    page = (tmp_path / "out" / "compare.html").read_text()
    assert page.count("the first API call") == 2, "both runs are on it"
    dark = document.find("dark_ms")
    third = document.find("0003 shard_dark_ms")
    assert dark is not None
    assert third is not None
    assert all(r.points[0].upper > 0 for r in dark.repeats), out
    assert [r.group for r in third.repeats] == ["shards=3"]


async def test_groups_are_created_and_deleted(tmp_path: Path) -> None:
    """Nothing is created without a word; with it, no group is left afterwards."""
    (tmp_path / "quick.toml").write_text(NOTHING)
    knobs = Knobs(modifying_delay_s=0.1, settle_delay_s=0.1, detect_s=0.1)
    async with ControlPlane(knobs=knobs) as plane:
        control = (
            f'[control]\nreplication_group = "bench"\nendpoint_url = '
            f'"{plane.endpoint_url}"\n'
        )
        (tmp_path / "b.toml").write_text(control + LANES)
        words = (
            *("b.toml", "--scenario", "./quick.toml", "--repeat", "1"),
            *("--shards", "1,2", "--replicas", "0", "--output", "out"),
            *("--create", "cache.t4g.micro"),
        )
        code, out = await ended(await started(tmp_path, *words))
        assert code == 2, out
        assert "creates 2 groups one after the other, 3 nodes of cache.t4g.micro" in out
        assert "agree to what it costs: --yes-create" in out
        assert not (tmp_path / "out").exists()

        code, out = await ended(await started(tmp_path, *words, "--yes-create"))
        assert code == 0, out
        assert plane._plane.groups == {}
    assert len(read_ended(tmp_path / "out")) == 2


async def test_a_cell_that_cannot_be_run_ends_the_bench(tmp_path: Path) -> None:
    """An address where nobody answers is told with the words of the run."""
    text = '[target]\nhost = "127.0.0.1"\nport = 1\n' + LANES
    (tmp_path / "b.toml").write_text(text)
    code, out = await ended(
        await started(tmp_path, "b.toml", "--for", "1s", "--output", "out")
    )
    assert code == 2, out
    assert "all, repeat 1: the run ended with 2: " in out
    assert read_ended(tmp_path / "out") == []
