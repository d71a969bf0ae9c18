"""Rude clients of every endpoint: the server answers, the run notices nothing of it."""

import asyncio
import json
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadprobe.core.events import MarkMade, RunProblem, RunStarted
from loadprobe.outputs.http import door as http_door
from tests.support.http_stage import (
    MS,
    S,
    Stage,
    arrivals,
    ask,
    ended_and_open,
    exchange,
    serving,
)
from tests.support.running import until

TOKEN = "a-token-of-some-length"
GETS = (
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/outages",
    "/api/v1/events",
    "/api/v1/topology",
    "/api/v1/openapi.json",
)
PATHS = (*GETS, "/api/v1/marks", "/", "/api/v1/", "/api/v2/status")


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """Return a file with a token."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return str(path)


def get(target: str, *headers: str) -> bytes:
    """Return a request of one target, as it stands."""
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def status_of(answer: bytes) -> int:
    """Return the status in an answer, 0 if there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else 0


MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a line alone": b"GET\r\n\r\n",
    "no version": b"GET /metrics\r\n\r\n",
    "a strange method": b"BREW /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a strange version": b"GET /metrics HTTP/9.9\r\n\r\n",
    "a header without a name": get("/metrics", ": x"),
    "a space in a name": get("/metrics", "A b: c"),
    "a NUL": get("/metrics", "A: \0"),
    "a huge header": get("/metrics", "A: " + "x" * 100_000),
    "many headers": get("/metrics", *(f"A{n}: {'x' * 200}" for n in range(3000))),
    "a huge path": get("/" + "x" * 100_000),
    "a secret in a wrong header": get("/metrics", "Authorization: hunter2\0"),
    "an expectation that is no text": get("/metrics", "Expect: \xff"),
    "two lengths": get("/metrics", "Content-Length: 1", "Content-Length: 2"),
    "a negative length": get("/metrics", "Content-Length: -1"),
    "both lengths": get("/metrics", "Content-Length: 1", "Transfer-Encoding: chunked"),
    "a wrong chunk": get("/metrics", "Transfer-Encoding: chunked") + b"zz\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is no request is refused as the client's fault, and not logged."""
    async with serving(Stage.make()) as server:
        answer = await exchange(server, MALFORMED[name])
        assert status_of(answer) in (0, *range(400, 500)), answer[:200]
        assert b"hunter2" not in answer
        assert (await ask(server, "/healthz")).status == 200
    assert not caplog.records


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/v1/%73tatus", 200),
        ("/api/v1/status%00", 404),
        ("/api/v1/../v1/status", 404),
        ("/api/v1/..%2fstatus", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/api/v1/status/", 404),
        ("//metrics", 404),
        ("/metrics%0d%0aX-Evil:%20yes", 404),
        ("/api/v1/status?%00=%ff", 400),
        ("/api/v1/outages?shard=%0d%0aX-Evil:%20yes", 200),
        ("http://localhost/metrics", 200),
        ("http://elsewhere.example/metrics", 421),
        ("*", 404),
    ],
)
async def test_odd_targets(target: str, status: int) -> None:
    """Encoded and absolute targets reach what they name, and nothing else."""
    async with serving(ended_and_open()) as server:
        answer = await exchange(server, get(target))
    assert status_of(answer) in (status, 400), answer[:300]
    assert b"\r\nX-Evil" not in answer


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "TRACE"])
async def test_wrong_methods(method: str) -> None:
    """No path but that of the marks takes anything but GET and HEAD."""
    async with serving(ended_and_open()) as server:
        for path in GETS:
            assert (await ask(server, path, method=method)).status == 405, path
        wrong = await ask(server, "/api/v1/marks", method="GET")
        head = await ask(server, "/api/v1/status", method="HEAD")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
    assert (head.status, head.body) == (200, b"")


async def test_hundreds_of_clients() -> None:
    """Hundreds at once are all served; those that stall or leave harm nobody."""
    stage = ended_and_open()
    async with serving(stage) as server:
        rude = [
            await asyncio.open_connection(server.host, server.port) for _ in range(150)
        ]
        for index, (_, writer) in enumerate(rude):
            path = GETS[index % len(GETS)]
            request = get(path)
            writer.write(request if index % 3 else request[:-4])
            if index % 2:
                writer.transport.abort()
        asked = [exchange(server, get(GETS[n % len(GETS)])) for n in range(200)]
        answers = await asyncio.gather(*asked)
        assert {status_of(answer) for answer in answers} == {200}
        for _, writer in rude:
            writer.transport.abort()


async def test_more_clients_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections beyond the limit are closed at once; there is room again later."""
    monkeypatch.setattr(http_door, "MOST_CONNECTIONS", 20)
    async with serving(Stage.make()) as server:
        idle = [
            await asyncio.open_connection(server.host, server.port) for _ in range(20)
        ]
        assert await exchange(server, get("/healthz")) == b""
        for _, writer in idle:
            writer.transport.abort()
        async with asyncio.timeout(20):
            while not await exchange(server, get("/healthz")):
                await asyncio.sleep(0.01)


async def test_replies_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks and does not read is cut, and its reply is not kept."""
    monkeypatch.setattr(http_door, "PATIENCE_S", 0.05)
    stage = ended_and_open()
    for number in range(10_000):
        stage.emit(RunProblem(number, "x" * 3000))
    async with serving(stage) as server:
        request = get("/api/v1/events?limit=1000").replace(b"close", b"keep-alive")
        deaf = [
            await asyncio.open_connection(server.host, server.port) for _ in range(5)
        ]
        for _, writer in deaf:
            writer.write(request * 3)
        await until(lambda: server.connections == 5, what="all have connected")
        await until(lambda: server.connections == 0, what="all were cut")
        assert (await ask(server, "/healthz")).status == 200
        for _, writer in deaf:
            writer.transport.abort()


async def test_clients_that_leave_before_they_may_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They expect to be asked for the rest, and are gone by then: nobody logs that."""
    async with serving(Stage.make()) as server:
        request = get("/metrics", "Expect: 100-continue", "Content-Length: 1")
        for _ in range(50):
            with socket.create_connection((server.host, server.port)) as leaving:
                # It is reset, not closed, when it is gone.
                linger = struct.pack("ii", 1, 0)
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                leaving.sendall(request)
        assert (await ask(server, "/healthz")).status == 200
        await until(lambda: server.connections == 0, what="all are gone")
    assert not caplog.records


async def test_a_body_that_never_ends(token_file: str) -> None:
    """A body is not read beyond what a mark can have, and not waited for by others."""
    stage = ended_and_open()
    head = (
        "POST /api/v1/marks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: Bearer {TOKEN}\r\n"
    ).encode()
    async with serving(stage, marks_token_file=token_file) as server:
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        endless = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 4
        assert status_of(await exchange(server, endless, whole=False)) == 413
        broken = head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
        assert status_of(await exchange(server, broken, whole=False)) == 400
        bomb = head + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
        assert status_of(await exchange(server, bomb, whole=False)) == 400
        waiting = asyncio.create_task(
            exchange(server, head + b'Content-Length: 9\r\n\r\n{"te')
        )
        for path in GETS:
            assert (await ask(server, path)).status == 200
        waiting.cancel()
        await asyncio.wait([waiting])
    assert [type(event) for event in stage.journal] == [RunStarted]


TEXT = st.text(max_size=30) | st.text('abc <&"\\%é☃', min_size=1, max_size=30)
QUERY = st.dictionaries(
    st.sampled_from(["lane", "shard", "since_unix_ns", "limit", "kind", "after"])
    | st.text(max_size=5),
    st.one_of(
        st.integers().map(str),
        st.sampled_from(["tcp", "0001", "nan", "1e9", "null", "%", "+"]),
        TEXT,
    ),
    max_size=3,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Authorization",
            "Content-Type",
            "Content-Encoding",
            "Cookie",
            "Expect",
            "If-None-Match",
            "Origin",
            "Range",
            "Upgrade",
        ]
    ),
    st.one_of(
        st.sampled_from(
            [
                "Bearer of nothing",
                "Basic YTpi",
                "application/json",
                "application/openmetrics-text; version=1.0.0",
                "application/openmetrics-text; version=x;q=2",
                "bytes=0-",
                "gzip",
                "websocket",
            ]
        ),
        TEXT,
    ),
    max_size=4,
)
BODY = st.one_of(
    st.just(b""),
    st.binary(max_size=60),
    TEXT.map(lambda text: json.dumps({"text": text}).encode()),
    st.recursive(
        st.none() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.tuples()
    ).map(lambda value: json.dumps({"text": value}).encode()),
)


AS_IT_SHOULD = {"Authorization": f"Bearer {TOKEN}"}


def encoded(text: str) -> str:
    """Return a text with most of its bytes in percent encoding."""
    raw = text.encode("utf-8", "surrogatepass")
    return "".join(chr(b) if chr(b).isalnum() else f"%{b:02x}" for b in raw)


@st.composite
def any_request(draw: st.DrawFn) -> bytes:
    """Return a request that any of the endpoints may get."""
    method = draw(st.sampled_from(["GET", "GET", "POST", "POST", "HEAD", "OPTIONS"]))
    is_mark = method == "POST" and draw(st.booleans())
    target = "/api/v1/marks" if is_mark else draw(st.sampled_from(PATHS))
    query = "&".join(f"{encoded(k)}={encoded(v)}" for k, v in draw(QUERY).items())
    headers = draw(HEADERS)
    if is_mark:
        token = draw(st.sampled_from([TOKEN, "another"]))
        headers["Authorization"] = f"Bearer {token}"
        if draw(st.booleans()):
            headers = {**AS_IT_SHOULD, "Content-Type": "application/json"}
            query = ""
    target += f"?{query}" if query else ""
    body = draw(BODY) if method == "POST" else b""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines).encode("utf-8", "surrogatepass")
    return head + b"\r\n\r\n" + body


def generated_requests(count: int) -> list[bytes]:
    """Return requests that hypothesis thinks of."""
    requests: list[bytes] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(any_request())
    def collect(request: bytes) -> None:
        requests.append(request)

    collect()
    return requests


def judged(stage: Stage, second: int) -> None:
    """Judge another second, in which one shard was dark for a while."""
    start = second * S
    dark = start + 300 * MS, start + 400 * MS
    stage.add(
        {
            ("tcp", "0001"): arrivals(start, start + S, dark),
            ("tcp", "0002"): arrivals(start, start + S),
        },
        start + S,
    )


async def test_fuzz_of_every_endpoint(
    token_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No request makes a 5xx or a log line, or changes what is judged meanwhile."""
    requests = generated_requests(250)
    stage, twin = Stage.make(), Stage.make()
    stage.begin()
    twin.begin()
    statuses: set[int] = set()
    async with serving(stage, marks_token_file=token_file) as server:
        for second, at in enumerate(range(0, len(requests), 40)):
            judged(stage, second)
            judged(twin, second)
            batch = [exchange(server, request) for request in requests[at : at + 40]]
            answers = await asyncio.gather(*batch)
            statuses |= {status_of(answer) for answer in answers}
            assert not any(TOKEN.encode() in answer for answer in answers)
        end_ns = (second + 1) * S
        assert (await ask(server, "/api/v1/status")).status == 200
    assert statuses >= {200, 201, 400, 401, 404, 405, 415}
    assert not [status for status in statuses if status >= 500]
    assert stage.aggregate.finish(end_ns) == twin.aggregate.finish(end_ns)
    marks = [event for event in stage.journal if isinstance(event, MarkMade)]
    assert marks
    assert all(event.message.isprintable() for event in marks)
    assert not caplog.records
