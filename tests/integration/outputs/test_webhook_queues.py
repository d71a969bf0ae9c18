"""Notices that wait: their queue outlives its process, and is of one alone."""

import asyncio
import stat
import sys
from pathlib import Path

import orjson
import pytest

from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.occasions import OpenIncident
from loadprobe.outputs.webhooks import sender as sender_module
from loadprobe.outputs.webhooks.queue_file import QueueFile, Stored
from tests.scripted.hook import Answer, Hook
from tests.support.paths import ROOT
from tests.support.prometheus_server import free_port
from tests.support.running import until
from tests.support.sending import (
    Running,
    hook_of,
    notice,
    notices,
    sending,
    shorten_waits,
)

OPEN = OpenIncident(
    "night-1", 5, 1, 0, DarkTime(1, 2, 3), 9, (("tcp", "0002"),), outages=1
)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses short."""
    shorten_waits(monkeypatch)


async def test_what_waits_survives(tmp_path: Path) -> None:
    """A process that is gone leaves what it could not send, and what was open."""
    receiver = Hook(port=free_port())
    async with sending(hook_of(receiver), tmp_path) as before:
        before.sender.offer(notices(3), [OPEN])
        await until(
            lambda: (
                before.path.exists()
                and len(orjson.loads(before.path.read_bytes())["waiting"]) == 3
            ),
            what="three on disk",
        )
    assert stat.S_IMODE(before.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(before.path.parent.stat().st_mode) == 0o700
    async with receiver, sending(hook_of(receiver), tmp_path) as after:
        assert after.sender.resumed == (OPEN,)
        after.sender.offer([notice(4)], [])
        await after.until_empty()
        assert receiver.ids == [f"night-1/{n}" for n in range(1, 5)]
    assert Running(hook_of(receiver), after.path).sender.resumed == ()


KILLED = """
import asyncio, os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from loadprobe.config.webhooks import Webhook
from loadprobe.outputs.webhooks.queue_file import QueueFile
from loadprobe.outputs.webhooks.sender import Sender
from tests.support.sending import Counts, notices

async def main():
    webhook = Webhook(name="hook", kind="json", url={url!r})
    sender = Sender(webhook, QueueFile(Path({path!r})), Counts())
    sender.offer(notices(5), [])
    async with asyncio.TaskGroup() as group:
        group.create_task(sender.run())
        while sender.problem is None:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_was_taken_in(tmp_path: Path) -> None:
    """After kill -9 the next process sends all of it: at least once, in order."""
    script = [Answer(), Answer(), Answer(503)]
    async with Hook(*script) as receiver:
        path = tmp_path / "queue" / "hook.json"
        text = KILLED.format(root=str(ROOT), url=receiver.url, path=str(path))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", text)
        async with asyncio.timeout(30):
            assert await process.wait() == -9
        assert receiver.ids == ["night-1/1", "night-1/2"]
        async with sending(hook_of(receiver), tmp_path) as running:
            await running.until_empty()
        assert list(dict.fromkeys(receiver.ids)) == [
            f"night-1/{n}" for n in range(1, 6)
        ]


def test_what_is_older_is_not_written(tmp_path: Path) -> None:
    """A thread that comes late does not undo what was written since."""
    path = tmp_path / "hook.json"
    file = QueueFile(path)
    file.load()
    file.save(Stored(notices(2)), 2)
    file.save(Stored(notices(1)), 1)
    file.close()
    file.save(Stored(notices(3)), 3)
    assert len(QueueFile(path).load().waiting) == 2


async def test_a_file_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    """It is kept under another name, and is the end of nothing."""
    path = tmp_path / "queue" / "hook.json"
    path.parent.mkdir()
    damaged = (
        b"",
        b"{",
        b"[1]",
        b'{"schema_version": 99}',
        b"\xff" * 100,
        b'{"waiting": [{"id": "\xff"}]}',
        b"[" * 9999,
    )
    for content in damaged:
        path.write_bytes(content)
        running = Running(Webhook(name="hook", kind="json", url="http://h/"), path)
        assert running.counts["queue_notices",] == 0
        running.sender._file.close()
        assert not path.exists()
    kept = {file.read_bytes() for file in path.parent.glob("hook.bad*")}
    assert kept == set(damaged)


async def test_a_queue_belongs_to_one_process(tmp_path: Path) -> None:
    """A second run of the same name sends all the same, and says what it cannot do."""
    async with Hook() as receiver, sending(hook_of(receiver), tmp_path) as first:
        second = Running(hook_of(receiver), first.path)
        (problem,) = second.sender.problems
        assert "another run of the same name has it" in problem
        second.sender.offer([notice()], [])
        await second.sender.flush()
        assert receiver.ids == ["night-1/1"]
        assert not first.path.exists()


async def test_a_disk_that_is_full_is_no_end(tmp_path: Path) -> None:
    """Notices that cannot be kept are sent; that they are not kept is said."""
    file = tmp_path / "queue"
    file.write_text("no folder")
    async with Hook() as receiver, sending(hook_of(receiver), file) as running:
        (problem,) = running.sender.problems
        assert "what waits is lost with the process" in problem
        running.sender.offer([notice()], [])
        await running.until_empty()
        assert receiver.ids == ["night-1/1"]


async def test_a_run_that_ends_waits_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left then is on disk."""
    monkeypatch.setattr(sender_module, "FLUSH_S", 0.2)
    async with Hook(*[Answer(after_s=30.0)] * 9) as receiver:
        running = Running(hook_of(receiver), tmp_path / "hook.json")
        running.sender.offer(notices(2), [OPEN])
        async with asyncio.timeout(5.0):
            await running.sender.flush()
        again = Running(hook_of(receiver), running.path)
    assert again.counts["queue_notices",] == 2
    assert again.sender.resumed == (OPEN,)
