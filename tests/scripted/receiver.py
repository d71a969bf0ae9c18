"""A receiver of remote write that answers as it is told, and reads what it is sent.

Requests are decoded by a protobuf library, after the fields of Prometheus' remote.proto
and types.proto.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from cramjam import snappy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet

Decoded = list[tuple[list[tuple[str, str]], list[tuple[int, float]]]]
"""(labels, samples) of every series, as they stand in a request."""

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCHEMA: dict[str, list[tuple[str, int, Any]]] = {
    "Label": [("name", 1, _FIELD.TYPE_STRING), ("value", 2, _FIELD.TYPE_STRING)],
    "Sample": [("value", 1, _FIELD.TYPE_DOUBLE), ("timestamp", 2, _FIELD.TYPE_INT64)],
    "TimeSeries": [("labels", 1, "Label"), ("samples", 2, "Sample")],
    "WriteRequest": [("timeseries", 1, "TimeSeries")],
}


def _message_class() -> Any:
    """Return the class of requests."""
    file = descriptor_pb2.FileDescriptorProto(
        name="remote.proto", package="prometheus", syntax="proto3"
    )
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for label, number, kind in fields:
            if isinstance(kind, str):
                message.field.add(
                    name=label,
                    number=number,
                    label=_FIELD.LABEL_REPEATED,
                    type=_FIELD.TYPE_MESSAGE,
                    type_name=f".prometheus.{kind}",
                )
            else:
                message.field.add(
                    name=label, number=number, label=_FIELD.LABEL_OPTIONAL, type=kind
                )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("prometheus.WriteRequest")
    return message_factory.GetMessageClass(found)


_WRITE_REQUEST = _message_class()


def decoded(body: bytes) -> Decoded:
    """Return what is in a request."""
    request = _WRITE_REQUEST.FromString(bytes(snappy.decompress_raw(body)))
    assert not len(UnknownFieldSet(request))
    return [
        (
            [(label.name, label.value) for label in series.labels],
            [(sample.timestamp, sample.value) for sample in series.samples],
        )
        for series in request.timeseries
    ]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer.

    Args:
        status: of it.
        text: of it.
        headers: of it.
        after_s: how long it takes.
    """

    status: int = 204
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


Judge = Callable[[Request, Decoded], Said]


class ScriptedReceiver:
    """Listens on a loopback port; use it as a context manager.

    Args:
        *script: the first answers, in their order.
        judge: gives all other answers; without it everything is taken.
        port: 0 takes a free one.
        tls: for HTTPS.

    Attributes:
        requests: all that came.
        taken: (labels, samples) of what was answered with 2xx, in order.
    """

    def __init__(
        self,
        *script: Said,
        judge: Judge = lambda _request, _series: Said(),
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._script = list(script)
        self._judge = judge
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._closed = asyncio.Event()
        self.port = port
        self.requests: list[Request] = []
        self.taken: Decoded = []

    @property
    def url(self) -> str:
        """Return where it is."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://localhost:{self.port}/api/v1/write"

    @property
    def points(self) -> dict[str, list[tuple[int, float]]]:
        """Return the samples that were taken by shard, in the order they came."""
        found: dict[str, list[tuple[int, float]]] = {}
        for labels, samples in self.taken:
            found.setdefault(dict(labels).get("shard", ""), []).extend(samples)
        return found

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.0)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self.port,
            ssl_context=self._tls,
        )
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more."""
        assert self._runner is not None
        self._closed.set()
        await self._runner.cleanup()

    async def _answer(self, raw: web.Request) -> web.Response:
        request = Request(raw.path, dict(raw.headers), await raw.read())
        self.requests.append(request)
        series = decoded(request.body)
        said = self._script.pop(0) if self._script else self._judge(request, series)
        with suppress(TimeoutError):
            async with asyncio.timeout(said.after_s):
                await self._closed.wait()
        if 200 <= said.status < 300:
            self.taken += series
        return web.Response(
            status=said.status, text=said.text or None, headers=said.headers
        )
