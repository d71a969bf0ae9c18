"""How the system is asked for names."""

import asyncio
import socket
from typing import Any

import pytest

from loadprobe.drivers.resolver import Resolver

HOST = "slow.test"


class System:
    """Stands for the resolver of the system; it answers when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[asyncio.Future[Any]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "getaddrinfo", self._ask)

    async def _ask(self, *_: object, **__: object) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        # As a thread that hangs goes on, whoever does not wait for it any more.
        return await asyncio.shield(answer)

    def answer(self, address: str) -> None:
        """Answer the last question."""
        self.asked[-1].set_result([(0, 0, 0, "", (address, 0))])

    def fail(self) -> None:
        """Know no such name."""
        self.asked[-1].set_exception(socket.gaierror(socket.EAI_NONAME, "not known"))


async def give_up(resolver: Resolver) -> None:
    """Ask as a scout does, that waits for a moment only."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await resolver.resolve(HOST)


async def test_a_system_that_hangs_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Questions do not pile up, and the answer to the one there is reaches all."""
    system, resolver = System(monkeypatch), Resolver()
    for _ in range(20):
        await give_up(resolver)
    waiting = [asyncio.create_task(resolver.resolve(HOST)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(system.asked) == 1
    system.answer("127.0.1.1")
    assert await asyncio.gather(*waiting) == [("127.0.1.1",)] * 3
    assert await resolver.resolve(HOST) == ("127.0.1.1",)
    assert len(system.asked) == 1
    resolver.forget()
    await give_up(resolver)
    assert len(system.asked) == 2


async def test_a_refusal_that_nobody_waited_for_is_no_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is remembered like any other; the loop has nothing to report."""
    reported: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *each: reported.append(each))
    system, resolver = System(monkeypatch), Resolver()
    await give_up(resolver)
    system.fail()
    await asyncio.sleep(0.01)
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            await resolver.resolve(HOST)
    assert len(system.asked) == 1
    assert not reported
