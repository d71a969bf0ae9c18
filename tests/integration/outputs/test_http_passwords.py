"""Passwords are checked one by one, and how long that takes says nothing."""

import asyncio
import threading
from pathlib import Path

import bcrypt
import pytest

from loadprobe.outputs.http import passwords
from tests.support.http_stage import (
    Reply,
    Stage,
    ask,
    ended_and_open,
    serving,
)
from tests.support.web_files import HASH, PASSWORD, Files, hash_of


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return a folder for a web configuration."""
    return Files(tmp_path)


class Slow:
    """bcrypt that takes as long as a test wants, and notes its threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.checks = 0
        self.at_once = 0
        self.most_at_once = 0
        self._check = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self)

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        """Check a password once the test lets it."""
        assert threading.current_thread() is not threading.main_thread()
        self.checks += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go_on.wait(20)
        self.at_once -= 1
        return self._check(password, hashed)


async def test_checking_a_password_holds_up_nobody(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has logged in is served while others are checked one by one, or refused."""
    path = files.users(alice=HASH)
    stage = ended_and_open()
    async with serving(stage, web_config_file=path) as server:
        good = "alice", PASSWORD
        assert (await ask(server, "/metrics", login=good)).status == 200
        slow = Slow(monkeypatch)
        tasks = [
            asyncio.create_task(ask(server, "/metrics", login=("eve", str(n))))
            for n in range(40)
        ]
        refused = 40 - passwords.LARGEST_SHARE
        done: set[asyncio.Task[Reply]] = set()
        while len(done) < refused:
            async with asyncio.timeout(20):
                done, _ = await asyncio.wait(
                    [t for t in tasks if t not in done] or tasks,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            done = {task for task in tasks if task.done()}
        assert {task.result().status for task in done} == {429}
        assert (await ask(server, "/metrics", login=good)).status == 200
        slow.go_on.set()
        replies = await asyncio.gather(*tasks)
        assert sorted(r.status for r in replies) == [401] * (40 - refused) + (
            [429] * refused
        )
        assert (slow.checks, slow.most_at_once) == (40 - refused, 1)
        assert (await ask(server, "/metrics", login=("eve", "0"))).status == 401
        assert slow.checks == 40 - refused + 1, "a wrong login is not remembered"


async def test_an_unknown_name_takes_as_long(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nobody has is checked against a hash of the same cost."""
    hashes: list[bytes] = []
    check = bcrypt.checkpw

    def note(password: bytes, hashed: bytes) -> bool:
        hashes.append(hashed)
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", note)
    path = files.users(alice=hash_of("x", 5))
    async with serving(Stage.make(), web_config_file=path) as server:
        await ask(server, "/metrics", login=("alice", "y"))
        await ask(server, "/metrics", login=("nobody", "y"))
    assert [hashed[:7] for hashed in hashes] == [b"$2b$05$"] * 2


async def test_a_cheap_hash_takes_as_long(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rounds of bcrypt are the same for every name, so none shows by its time."""
    rounds: list[int] = []
    monkeypatch.setattr(
        bcrypt, "checkpw", lambda _, hashed: rounds.append(2 ** int(hashed[4:6]))
    )
    path = files.users(cheap=hash_of("x", 4), dear=hash_of("x", 7))
    async with serving(Stage.make(), web_config_file=path) as server:
        sums = []
        for name in ("cheap", "dear", "nobody"):
            rounds.clear()
            assert (await ask(server, "/metrics", login=(name, "y"))).status == 401
            sums.append(sum(rounds))
    assert sums == [2**7] * 3


async def test_who_guesses_keeps_nobody_else_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One address has a part of the checks that may wait."""
    slow = Slow(monkeypatch)
    checking = passwords.Passwords()
    users = {"alice": HASH}

    async def log_in(address: str, password: str) -> bool:
        return await checking.is_right(
            users, "alice", password.encode(), address=address
        )

    guesses = [
        asyncio.create_task(log_in("10.0.0.1", str(n)))
        for n in range(passwords.LARGEST_SHARE)
    ]
    await asyncio.sleep(0)
    with pytest.raises(passwords.TooManyLoginsError):
        await log_in("10.0.0.1", PASSWORD)
    mine = asyncio.create_task(log_in("10.0.0.2", PASSWORD))
    await asyncio.sleep(0)
    slow.go_on.set()
    assert await mine
    assert not any(await asyncio.gather(*guesses))
    checking.close()


async def test_long_passwords(files: Files) -> None:
    """Of a password bcrypt knows 72 bytes, as the programs that make hashes do."""
    long = "x" * 100
    path = files.users(alice=hash_of(long[:72]))
    async with serving(Stage.make(), web_config_file=path) as server:
        assert (await ask(server, "/metrics", login=("alice", long))).status == 200
        assert (await ask(server, "/metrics", login=("alice", "x" * 71))).status == 401
