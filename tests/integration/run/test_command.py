"""The real command during a run: no secret told, no result lost, no idle library."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bad_input import (
    NOBODY_LISTENS,
    SECRET,
    Servers,
    config_of,
    document,
    environment,
    finish,
    run_folder,
    start,
)
from tests.support.commands import (
    assert_gone,
    assert_whole,
    family,
    get,
    start_run,
)
from tests.support.small_disk import mounted

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 52 MB."""
    with mounted(tmp_path / "disk", size="52m") as path:
        yield path


async def test_a_secret_stays_secret(servers: Servers, tmp_path: Path) -> None:
    """The password is in no output, argument list, run folder or metric."""
    process, path, url = await start_run(servers, tmp_path, "--for", "3s")
    members = family(process.pid)
    assert len(members) >= 2, "the probe process is not found"
    for member in members:
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{member}/{name}").read_bytes()
    metrics = await get(f"{url}/metrics")
    assert metrics is not None
    assert "loadprobe_" in metrics
    assert SECRET not in metrics
    ended = await finish(process)
    assert ended.code == 0, ended
    assert SECRET not in ended.out + ended.err
    files = [file for file in run_folder(path).rglob("*") if file.is_file()]
    named = {"run.json", "summary.json", "report.html"}
    assert named <= {file.name for file in files}
    for file in files:
        assert SECRET.encode() not in file.read_bytes(), file


async def test_who_has_nothing_to_do_with_aws_loads_nothing_of_it(
    servers: Servers, tmp_path: Path
) -> None:
    """Not at the start, not to write to other receivers, and not at the end."""
    nobody = f"http://127.0.0.1:{NOBODY_LISTENS}"
    path = config_of(servers, tmp_path, remote_write={"url": f"{nobody}/write"})
    webhook = f'[[webhooks]]\nname = "a"\nkind = "json"\nurl = "{nobody}/"\n'
    path.write_text(f"{path.read_text()}{webhook}")
    program = (
        "import sys; from loadprobe.cli.app import main\n"
        "try: main()\n"
        "finally: print('loaded:', *sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "run", str(path), "--for", "1s"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    ended = await finish(process)
    assert ended.code == 0, ended
    assert run_folder(path).is_dir()
    loaded = ended.out.rpartition("loaded: ")[2].split()
    assert "loadprobe.outputs.webhooks.receiver" in loaded
    assert not [name for name in loaded if "boto" in name]


async def test_thresholds(servers: Servers, tmp_path: Path) -> None:
    """A run within its thresholds ends with 0, one that misses any with 3."""
    started = []
    for limit, code in ((60_000.0, 0), (0.000_001, 3)):
        folder = tmp_path / str(code)
        folder.mkdir()
        slo: dict[str, object] = {"p99_ms": limit, "availability": 0.0}
        path = config_of(servers, folder, slo=slo, lanes={"name": f"lane{code}"})
        started.append((path, code, await start("run", str(path), "--for", "1s")))
    for path, code, process in started:
        ended = await finish(process)
        assert (ended.code, ended.err) == (code, "")
        checks = document(path, "summary.json")["slo"]
        met = {check["name"]: check["is_met"] for check in checks}
        assert met == {"p99_ms": code == 0, "availability": True}


async def test_sigterm_ends_in_order(servers: Servers, tmp_path: Path) -> None:
    """SIGTERM in a run without end: drained, judged, written, exit code 0."""
    process, path, _ = await start_run(servers, tmp_path)
    await asyncio.sleep(0.5)
    members = family(process.pid)
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, "")
    names = {file.name for file in run_folder(path).iterdir()}
    files = {"run.json", "summary.json", "outages.json", "events.ndjson", "report.html"}
    assert files <= names
    assert document(path, "run.json")["end"] is not None
    assert_whole(run_folder(path))
    await assert_gone(members)


async def test_a_full_disk_during_the_run(
    servers: Servers, tmp_path: Path, disk: Path
) -> None:
    """A disk that fills up costs no result: the run is whole, somewhere else."""
    output: dict[str, object] = {"dir": str(disk / "runs")}
    process, _, _ = await start_run(
        servers, tmp_path, output=output, lanes={"rate_per_s": 500}
    )
    with contextlib.suppress(OSError), (disk / "ballast").open("wb") as ballast:
        while True:
            ballast.write(b"x" * 4096)
            ballast.flush()
    await asyncio.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)
    assert ended.code == 1, ended
    assert "No space left on device" in ended.out
    marker = "the complete run is in '"
    text = " ".join(ended.out.split())
    assert marker in text
    folder = Path(text.partition(marker)[2].partition("'")[0])
    try:
        assert_whole(folder)
        shown = await finish(await start("report", str(folder)))
        assert (shown.code, shown.err) == (0, "")
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
