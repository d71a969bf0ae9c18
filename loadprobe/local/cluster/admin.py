"""One administrative connection to one server, over its unix socket.

The unix socket works whatever is done to the TCP and TLS ports. Nothing is retried
in silence: a lost connection is an error, and the next command connects anew.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import hiredis

from loadprobe.errors import RunError

Reply = Any  # str, int, None or a list of replies: what RESP2 has
SOCKET_NAME = "admin.sock"
_READ_BYTES = 65_536


class ServerGone(RunError):
    """The server did not answer: it is dead, paused or not yet listening."""


class ServerRefused(RunError):
    """The server answered a command with an error."""


class AdminConnection:
    """Send commands to one server; text is decoded with ``surrogateescape``.

    Args:
        folder: the server's folder; its unix socket is ``admin.sock`` there.
        name: the server's name, for error texts.
        password: what to log in with, if anything; it may be changed, and an open
            connection stays logged in.
    """

    def __init__(self, folder: Path, *, name: str, password: str | None) -> None:
        self._folder = folder
        self._name = name
        self.password = password
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._parser = _new_parser()

    async def command(self, *words: str | int, timeout_s: float) -> Reply:
        """Send one command and return its reply.

        Raises:
            ServerGone: no reply within ``timeout_s`` seconds, or no connection.
            ServerRefused: the reply is an error.
        """
        (reply,) = await self.pipeline([words], timeout_s=timeout_s)
        if isinstance(reply, hiredis.ReplyError):
            raise ServerRefused(
                f"{self._name} refused {_shown(words)}: {reply}"
            ) from reply
        return reply

    async def pipeline(
        self, commands: list[tuple[str | int, ...]], *, timeout_s: float
    ) -> list[Reply]:
        """Send commands together and return their replies, errors as values.

        Raises:
            ServerGone: not all replies within ``timeout_s`` seconds, or no connection.
        """
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                try:
                    return await self._exchange(commands)
                except BaseException:
                    self.close()  # a reply may still come: it would be taken for ours
                    raise
        except (OSError, EOFError, TimeoutError) as exc:
            raise ServerGone(
                f"{self._name} did not answer {_shown(commands[0])} within "
                f"{timeout_s:g} s: {type(exc).__name__} {exc}"
            ) from exc

    def close(self) -> None:
        """Drop the connection, if there is one."""
        if self._streams is not None:
            with contextlib.suppress(RuntimeError):  # its event loop may be gone
                self._streams[1].close()
            self._streams = None

    async def _exchange(self, commands: list[tuple[str | int, ...]]) -> list[Reply]:
        if self._streams is None:
            self._parser = _new_parser()
            self._streams = await _connected(self._folder)
            if self.password is not None:
                # With the user's name: also taken where no password is needed.
                login = ("AUTH", "default", self.password)
                (answer,) = await self._send([login])
                if isinstance(answer, hiredis.ReplyError):
                    raise ServerRefused(f"{self._name} refused AUTH: {answer}")
        return await self._send(commands)

    async def _send(self, commands: list[tuple[str | int, ...]]) -> list[Reply]:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(b"".join(_packed(words) for words in commands))
        await writer.drain()
        replies: list[Reply] = []
        while len(replies) < len(commands):
            reply = self._parser.gets()
            if reply is not False:
                replies.append(reply)
                continue
            chunk = await reader.read(_READ_BYTES)
            if not chunk:
                raise EOFError("connection closed by the server")
            self._parser.feed(chunk)
        return replies


async def _connected(
    folder: Path,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect by way of the folder's descriptor: a socket's path has 107 bytes at most.

    (unix(7); a temp folder is often deeper than that.)
    """
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
        return await asyncio.open_unix_connection(path)
    finally:
        os.close(descriptor)


def _new_parser() -> hiredis.Reader:
    return hiredis.Reader(encoding="utf-8", errors="surrogateescape")


def _packed(words: tuple[str | int, ...]) -> bytes:
    encoded = [str(word).encode("utf-8", "surrogateescape") for word in words]
    heads = (b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
    return b"*%d\r\n" % len(encoded) + b"".join(heads)


def _shown(words: tuple[str | int, ...]) -> str:
    """Return the command's name only: arguments may be secret."""
    return " ".join(str(word) for word in words[:2]) if words[0] != "AUTH" else "AUTH"
