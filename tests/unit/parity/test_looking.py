"""Looking at keys of types that no server here has, and at what changes under it."""

from collections.abc import Sequence
from typing import Any, cast

from hiredis import ReplyError

from loadprobe.core.parity.glimpse import Finding
from loadprobe.drivers.wire.bulk import BulkCommand
from loadprobe.parity.looking import Looker
from loadprobe.parity.side import Side

S = 1_000_000_000
Replies = dict[bytes, list[Any]]


class Shelf:
    """A side with keys of any type: replies by command, in turn."""

    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.asked: list[bytes] = []

    async def ask(
        self, keys: Sequence[bytes], *commands: BulkCommand
    ) -> list[list[Any]]:
        """Answer for one key."""
        (key,) = keys
        return [[self._reply(command, key)] for command in commands]

    def _reply(self, command: BulkCommand, key: bytes) -> Any:
        words = command.of([b"$%d\r\n%b\r\n" % (len(key), key)]).split(b"\r\n")
        name = words[2]
        self.asked.append(name)
        found = self.replies[name]
        return found.pop(0) if len(found) > 1 else found[0]


async def finding(one: Replies, other: Replies) -> Finding:
    """Return what a look at one key finds."""
    shelves = [Shelf({b"PTTL": [-1], **each}) for each in (one, other)]
    paced: list[int] = []

    async def pace(keys: int) -> None:
        paced.append(keys)

    source, target = (cast("Side", shelf) for shelf in shelves)
    looker = Looker(source, target, tolerance_ns=S, pace=pace)
    found = await looker.look([b"key"])
    slices = sum(len(shelf.asked) - 2 for shelf in shelves)
    assert sum(paced) <= slices
    return found[0][1].finding if found else Finding.SAME


def module(dump: Any, size: Any = 100) -> Replies:
    """Return the replies of a key that only a module understands."""
    return {b"TYPE": [b"ReJSON-RL"], b"MEMORY": [size], b"DUMP": [dump]}


async def test_keys_of_modules() -> None:
    """The same by DUMP are the same; all others cannot be compared."""
    one = module(b"payload0123456789")
    assert await finding(one, module(b"payloadabcdefghij")) is Finding.SAME
    for other in (
        module(b"another0123456789"),
        module(b"payload0123456789", 10**9),
        module(ReplyError("ERR no DUMP of this")),
        module(b"payload0123456789", ReplyError("ERR unknown command")),
    ):
        assert await finding(one, other) is Finding.NOT_COMPARABLE


async def test_a_type_that_changes_under_a_look() -> None:
    """Nothing is said of it at this look."""
    string: Replies = {b"TYPE": [b"string"], b"GETRANGE": [b"x"]}
    changed: Replies = {b"TYPE": [b"string"], b"GETRANGE": [ReplyError("WRONGTYPE x")]}
    assert await finding(string, changed) is Finding.UNSTEADY
    assert await finding(changed, changed) is Finding.UNSTEADY
    long: Replies = {
        b"TYPE": [b"string"],
        b"GETRANGE": [b"x" * 4096],
        b"STRLEN": [ReplyError("WRONGTYPE x")],
    }
    assert await finding(long, long) is Finding.UNSTEADY
