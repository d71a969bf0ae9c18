"""People are told of incidents by a real run, whatever becomes of run and receiver."""

import asyncio
import os
import signal
from pathlib import Path

import orjson
import pytest

from loadprobe.local.cluster.ports import free_ports
from tests.scripted.hook import Answer, Hook
from tests.support.bad_input import (
    Ended,
    Servers,
    config_of,
    finish,
    start,
)
from tests.support.commands import family, get
from tests.support.running import until, until_true

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

SECRET = "hunter2hunter2hunter2"
HOOKS = """
[[webhooks]]
name = "hook"
kind = "json"
url_env = "LOADPROBE_HOOK_URL"
min_dark_ms = 500
"""


class Told:
    """A configuration with a webhook, and runs of it."""

    def __init__(self, servers: Servers, folder: Path, port: int) -> None:
        self.servers = servers
        self.folder = folder
        self._listen = f"127.0.0.1:{free_ports(1)[0]}"
        http: dict[str, object] = {"listen": self._listen}
        self.path = config_of(servers, folder, http=http)
        self.path.write_text(self.path.read_text() + HOOKS)
        self._env = {"LOADPROBE_HOOK_URL": f"http://localhost:{port}/{SECRET}"}

    @property
    def url(self) -> str:
        """Return where the run is seen."""
        return f"http://{self._listen}"

    @property
    def waiting(self) -> list[str]:
        """Return the kinds of the notices that are on disk."""
        path = self.folder / "runs" / ".webhooks" / "run" / "hook.json"
        if not path.exists():
            return []
        return [each["kind"] for each in orjson.loads(path.read_bytes())["waiting"]]

    async def run(self) -> asyncio.subprocess.Process:
        """Start a run and wait until it measures."""
        process = await start("run", str(self.path), env=self._env)

        async def is_ready() -> bool:
            assert process.returncode is None, await finish(process)
            return await get(f"{self.url}/readyz") is not None

        await until_true(is_ready)
        return process

    async def command(self, *words: str) -> Ended:
        """Carry out another command with the configuration."""
        return await finish(await start(*words, str(self.path), env=self._env))


async def test_a_killed_run_is_taken_up_by_the_next(
    servers: Servers, tmp_path: Path
) -> None:
    """The receiver is down and the run killed in an outage: nothing is lost by that.

    The next run sends the opening, and tells the end of the same incident. The address
    is in no output, argument list, environment of a probe, file or page.
    """
    receiver = Hook(port=free_ports(1)[0])
    told = Told(servers, tmp_path, receiver.port)
    (node,) = servers.closed.nodes
    process = await told.run()
    assert node.pid is not None
    node.pause()
    try:
        await until(lambda: told.waiting == ["opened"], what="an opening on disk")
        page = await get(f"{told.url}/metrics")
        assert page is not None
        assert "loadprobe_webhook_queue_notices" in page
        assert SECRET not in page
        members = family(process.pid)
        assert len(members) >= 2, "the probe process is not found"
        for member in members:
            assert SECRET.encode() not in Path(f"/proc/{member}/cmdline").read_bytes()
            environ = Path(f"/proc/{member}/environ").read_bytes()
            assert (SECRET.encode() in environ) == (member == process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        ended = await finish(process)
        assert ended.code == -signal.SIGKILL
        assert SECRET not in ended.out + ended.err
    finally:
        os.kill(node.pid, signal.SIGCONT)
    async with receiver:
        again = await told.run()
        await until(lambda: len(receiver.taken) == 2, what="an opening and a closing")
        again.send_signal(signal.SIGTERM)
        ended = await finish(again)
    assert ended.code == 0, ended
    assert SECRET not in ended.out + ended.err
    opened, closed = (request.document for request in receiver.taken)
    assert (opened["kind"], closed["kind"]) == ("opened", "closed")
    assert opened["incident"] == closed["incident"]
    assert opened["lanes"] == ["tcp"]
    assert closed["dark_ms"]["estimate"] >= 500
    assert any("began in an earlier run" in line for line in closed["text"])
    assert told.waiting == []
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert SECRET.encode() not in file.read_bytes(), file


async def test_a_rude_receiver_disturbs_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    """While it answers without end, or not at all, the run is measured and ends."""
    rude = [Answer(500, is_endless=True), Answer(after_s=60.0)]
    async with Hook(*rude) as receiver:
        told = Told(servers, tmp_path, receiver.port)
        process = await told.run()
        (node,) = servers.closed.nodes
        assert node.pid is not None
        node.pause()
        await until(lambda: len(receiver.requests) >= 1, what="a request")
        os.kill(node.pid, signal.SIGCONT)
        await until(lambda: len(receiver.requests) >= 2, what="another")
        process.send_signal(signal.SIGTERM)
        ended = await finish(process)
    assert ended.code == 0, ended
    assert "is served again after" in ended.out
    assert [request.document["kind"] for request in receiver.requests[:1]] == ["opened"]
    assert '"event": "webhook_fails"' in ended.err


async def test_check_and_trial(servers: Servers, tmp_path: Path) -> None:
    """``check`` connects and sends nothing; ``webhooks test`` sends two notices."""
    async with Hook() as receiver:
        told = Told(servers, tmp_path, receiver.port)
        ended = await told.command("check")
        assert ended.code == 0, ended
        assert "pass  webhook hook" in ended.out
        assert receiver.requests == []
        tried = await told.command("webhooks", "test")
        assert tried.code == 0, tried
        assert tried.out.startswith("sent  hook ")
        kinds = [request.document["kind"] for request in receiver.taken]
        assert kinds == ["opened", "closed"]
        assert all(request.document["is_test"] for request in receiver.taken)
    ended = await told.command("check")
    assert ended.code == 0
    assert "warn  webhook hook" in ended.out
    assert "ready to run, with 1 line to read" in ended.out
    tried = await told.command("webhooks", "test")
    assert (tried.code, "FAIL  hook" in tried.out) == (1, True)
    assert "1 of 1 webhooks did not take the test" in tried.err
    for each in (ended, tried):
        assert SECRET not in each.out + each.err
