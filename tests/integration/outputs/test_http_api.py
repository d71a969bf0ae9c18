"""The API over real sockets: what it tells, what it refuses, and its description."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import validate

from loadprobe.core.events import MarkMade, ProbeStalled, RunStarted
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.blame import Blamed
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.outputs.http import run_view
from loadprobe.outputs.http.api_documents import (
    LARGEST_LIMIT,
    LONGEST_MARK,
    OutageNow,
    OutagesQuery,
)
from loadprobe.outputs.http.openapi import openapi_document
from loadprobe.outputs.http.run_view import MOST_MARKS
from tests.support.http_stage import (
    BEGIN_UNIX_NS,
    MS,
    Reply,
    S,
    Stage,
    arrivals,
    ask,
    ended_and_open,
    serving,
)
from tests.support.paths import ROOT

DOCUMENT: dict[str, Any] = json.loads(openapi_document())
TOKEN = "0123456789abcdef-token"


def conform(reply: Reply, path: str, method: str = "get") -> None:
    """Hold a reply to what the description says of it."""
    described = DOCUMENT["paths"][path][method]["responses"][str(reply.status)]
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    schema = described["content"]["application/json"]["schema"]
    rooted = schema | {"components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(rooted).validate(reply.json)


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """Return a file with a token."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return str(path)


async def mark(server: Any, body: Any, token: str = TOKEN, **options: Any) -> Reply:
    """Send a mark with a token."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    options.setdefault("headers", headers)
    return await ask(server, "/api/v1/marks", method="POST", data=data, **options)


def test_the_description_is_kept_and_valid() -> None:
    """docs/openapi.json is what is served, and OpenAPI 3.1."""
    kept = ROOT / "docs" / "openapi.json"
    assert kept.read_bytes() == openapi_document(), (
        "run: python -m loadprobe.outputs.http.openapi > docs/openapi.json"
    )
    validate(DOCUMENT)


def test_an_outage_has_the_keys_of_the_file() -> None:
    """An outage is told as in outages.json, but for its number."""
    keys = [f.name for f in msgspec.structs.fields(OutageRow) if f.name != "incident"]
    assert [f.name for f in msgspec.structs.fields(OutageNow)] == [*keys, "is_open"]


async def test_status() -> None:
    """The status shows each shard as it is, and the verdict so far."""
    stage = ended_and_open()
    async with serving(stage) as server:
        reply = await ask(server, "/api/v1/status")
    conform(reply, "/api/v1/status")
    status = reply.json
    assert (status["state"], status["run"]) == ("running", "test")
    assert status["since_unix_ns"] == BEGIN_UNIX_NS
    (lane,) = status["lanes"]
    assert (lane["offered_per_s"], lane["served_per_s"]) == (100.0, 99.5)
    assert {name: shard["state"] for name, shard in lane["shards"].items()} == {
        "0001": "lit",
        "0002": "dark",
    }
    verdict = status["verdict"]
    assert (verdict["state"], verdict["arrivals"], verdict["served"]) == (
        "outage",
        1000,
        890,
    )
    assert (verdict["outages"], verdict["open_outages"]) == (2, 1)
    down = verdict["downtime_ms"]["shards"]["0001"]
    assert down["lower"] <= 100 <= down["upper"]


async def test_a_shard_that_is_dark_by_plan() -> None:
    """It is told apart from one that is dark, and from one that is not dark at all."""
    stage = ended_and_open()
    stage.planned += [Planned("tcp", 3900 * MS, 9 * S, "0002")]
    async with serving(stage) as server:
        reply = await ask(server, "/api/v1/status")
    conform(reply, "/api/v1/status")
    shards = reply.json["lanes"][0]["shards"]
    assert {name: shard["state"] for name, shard in shards.items()} == {
        "0001": "lit",
        "0002": "planned",
    }
    verdict = reply.json["verdict"]
    assert (verdict["outages"], verdict["planned_outages"]) == (1, 1)
    assert (verdict["open_outages"], verdict["open_planned_outages"]) == (1, 1)
    assert verdict["availability"] == pytest.approx(890 / 900)
    stage.planned[:] = [Planned("tcp", 3900 * MS, 4200 * MS, "0002")]
    assert stage.view.status().lanes[0].shards["0002"].state == "dark"


def test_an_accident_before_a_plan_is_in_the_verdict() -> None:
    """Of an outage of 8 s the first 3 are downtime, the others by plan."""
    stage = Stage.make()
    stage.begin()
    stage.planned += [Planned("tcp", 4 * S, 20 * S)]
    stage.add({("tcp", "0001"): arrivals(0, 9 * S, (S, 9 * S))}, 9 * S)
    status = stage.view.status()
    assert status.lanes[0].shards["0001"].state == "planned"
    verdict = status.verdict
    assert (verdict.state, verdict.outages, verdict.planned_outages) == ("outage", 1, 1)
    assert (verdict.open_outages, verdict.open_planned_outages) == (1, 1)
    assert verdict.downtime_ms is not None
    assert verdict.downtime_ms.any_shard.estimate == pytest.approx(3000, abs=10)
    assert verdict.availability == pytest.approx(100 / 400, abs=0.01)


async def test_shards_that_are_grey_blind_or_without_arrivals() -> None:
    """Failures beside served arrivals are grey, no arrivals blank, stalls blind."""
    stage = Stage.make("tcp", "tls")
    stage.begin()
    mixed = arrivals(0, 3 * S, (2500 * MS, 2510 * MS))
    stage.add(
        {("tcp", "0001"): mixed, ("tcp", "0002"): arrivals(0, S)},
        3 * S,
    )
    states = stage.view.status().lanes[0].shards
    assert {name: s.state for name, s in states.items()} == {
        "0001": "grey",
        "0002": "blank",
    }
    stage.aggregate.mark_blind(0, 3 * S, 4 * S)
    stage.add({}, 4 * S)
    states = stage.view.status().lanes[0].shards
    assert {s.state for s in states.values()} == {"blind"}


async def test_a_run_before_its_load() -> None:
    """Before the load all is empty, and nothing is invented."""
    stage = Stage.make()
    async with serving(stage) as server:
        replies = {
            path: await ask(server, f"/api/v1/{path}")
            for path in ("status", "outages", "events", "topology")
        }
    for path, reply in replies.items():
        conform(reply, f"/api/v1/{path}")
    status = replies["status"].json
    assert (status["state"], status["since_unix_ns"]) == ("starting", None)
    assert status["verdict"]["availability"] is None
    assert replies["topology"].json == {"shards": None}
    assert replies["outages"].json == {"matched": 0, "outages": []}


async def test_outages() -> None:
    """Outages are filtered by lane, shard and time; open ones are always recent."""
    stage = ended_and_open()
    async with serving(stage) as server:
        path = "/api/v1/outages"
        every = await ask(server, path)
        conform(every, path)
        ended, going_on = every.json["outages"]
        assert (ended["shard"], ended["is_open"]) == ("0001", False)
        assert (going_on["shard"], going_on["is_open"]) == ("0002", True)
        assert ended["lower_ms"] <= 100 <= ended["upper_ms"]
        assert ended["attribution"] == "shard"
        for query, expected in {
            "shard=0001": [ended],
            "lane=tcp&shard=0002": [going_on],
            f"since_unix_ns={BEGIN_UNIX_NS + 2 * S}": [going_on],
            f"since_unix_ns={BEGIN_UNIX_NS + S}": [ended, going_on],
            "limit=1": [going_on],
        }.items():
            reply = await ask(server, f"{path}?{query}")
            assert reply.json["outages"] == expected, query
        assert (await ask(server, f"{path}?limit=1")).json["matched"] == 2


def test_a_flood_of_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """With very many outages the downtime is left for the end; the rest is told."""
    monkeypatch.setattr(run_view, "MOST_SUMMED", 1)
    stage = ended_and_open()
    verdict = stage.view.status().verdict
    assert (verdict.outages, verdict.downtime_ms) == (2, None)
    assert stage.view.outages(OutagesQuery()).matched == 2


@pytest.mark.parametrize(
    ("spent_ns", "stalled_ns", "asked"),
    [(10 * MS, 0, 1), (0, 10 * MS, 2)],
    ids=["long work is kept for a while", "a stall is no work"],
)
def test_how_long_a_verdict_is_kept(spent_ns: int, stalled_ns: int, asked: int) -> None:
    """It costs CPU time to make; that the machine stalled meanwhile keeps nothing."""
    stage = ended_and_open()
    outages, calls = stage.counter.so_far, []

    def slowly() -> Sequence[Blamed]:
        calls.append(stage.now_ns)
        stage.spent_ns += spent_ns
        stage.now_ns += stalled_ns
        return outages()

    stage.view._outages = slowly
    stage.view.status()
    stage.now_ns += 100 * MS
    stage.view.status()
    assert len(calls) == asked


async def test_events() -> None:
    """A client that asks for what came after its last event misses none."""
    stage = ended_and_open()
    for number in range(2, 151):
        stage.emit(ProbeStalled(number * MS, process=number, duration_ms=1.0))
    async with serving(stage) as server:
        path = "/api/v1/events"
        latest = await ask(server, path)
        conform(latest, path)
        assert [e["number"] for e in latest.json["events"]] == list(range(51, 151))
        seen: list[int] = []
        while True:
            after = seen[-1] if seen else 0
            reply = await ask(server, f"{path}?after={after}&limit=40")
            if not reply.json["events"]:
                break
            seen += [e["number"] for e in reply.json["events"]]
        assert seen == list(range(1, 151))
        only = await ask(server, f"{path}?kind=started")
        assert [e["fields"] for e in only.json["events"]] == [{"name": "test"}]
        late = await ask(server, f"{path}?since_unix_ns={BEGIN_UNIX_NS + 150 * MS}")
        assert [e["number"] for e in late.json["events"]] == [150]


async def test_topology() -> None:
    """The shards are shown with their slots and nodes."""
    async with serving(ended_and_open()) as server:
        reply = await ask(server, "/api/v1/topology")
        served = await ask(server, "/api/v1/openapi.json")
    conform(reply, "/api/v1/topology")
    assert reply.json["shards"][0] == {
        "name": "0001",
        "ranges": [[0, 8191]],
        "primary": "127.0.0.1:7000",
        "replicas": ["127.0.0.1:7001"],
    }
    assert served.json == DOCUMENT


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("outages?lane=udp", "there is no lane 'udp'; lanes: tcp"),
        ("outages?lain=tcp", "unknown field `lain`; parameters: lane, shard,"),
        ("outages?limit=0", "Expected `int` >= 1 - at `$.limit`"),
        (f"outages?limit={LARGEST_LIMIT + 1}", "Expected `int` <= 1000"),
        ("outages?limit=1&limit=2", "given twice"),
        ("outages?since_unix_ns=yesterday", "got `str` - at `$.since_unix_ns`"),
        (f"events?after={'9' * 5000}", "the query is not usable"),
        ("events?%ff%fe=1", "unknown field"),
        ("status?verbose=1", "parameters: none"),
    ],
)
async def test_impossible_queries(query: str, message: str) -> None:
    """A query that cannot be answered is refused with what is wrong."""
    async with serving(ended_and_open()) as server:
        reply = await ask(server, f"/api/v1/{query}")
    assert reply.status == 400
    conform(reply, f"/api/v1/{query.partition('?')[0]}")
    assert message in reply.json["error"]["message"]


async def test_unknown_paths_and_methods() -> None:
    """Errors of the API are JSON, and say which methods there are."""
    async with serving(ended_and_open()) as server:
        unknown = await ask(server, "/api/v1/secrets")
        wrong = await ask(server, "/api/v1/status", method="DELETE")
        plain = await ask(server, "/secrets")
    assert (unknown.status, unknown.json["error"]["status"]) == (404, 404)
    assert wrong.status == 405
    assert set(wrong.headers["Allow"].split(",")) == {"GET", "HEAD"}
    assert (plain.status, plain.headers["Cache-Control"]) == (404, "no-store")


async def test_marks(token_file: str) -> None:
    """A mark goes into the journal with who made it, and comes back in the events."""
    stage = ended_and_open()
    async with serving(stage, marks_token_file=token_file) as server:
        reply = await mark(server, {"text": "deploy of shop 4.2 begins"})
        events = await ask(server, "/api/v1/events?kind=mark")
        metrics = await ask(server, "/metrics")
    assert reply.status == 201
    conform(reply, "/api/v1/marks", "post")
    assert events.json["events"] == [reply.json]
    name = "loadprobe_mark_timestamp_seconds"
    at_s = BEGIN_UNIX_NS // S + 5
    (sample,) = re.findall(rf"^{name}{{.*}} (.*)$", metrics.body.decode(), re.MULTILINE)
    assert float(sample) == at_s
    assert stage.journal[-1] == MarkMade(5 * S, "deploy of shop 4.2 begins", by="token")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not usable"),
        (b"\xff\xfe", "the body is not usable"),
        (b"[" * 4000, "the body is not usable"),
        (b'{"text": "\\ud800"}', "the body is not usable"),
        ({"text": ""}, "Expected `str` of length >= 1"),
        ({"text": "x" * (LONGEST_MARK + 1)}, "Expected `str` of length <= 300"),
        ({"text": 1}, "Expected `str`, got `int`"),
        ({"text": "x", "at": 1}, "unknown field `at`"),
        ({"text": "one\ntwo"}, "line breaks or control characters"),
        ({"text": "\x1b[2Jgone"}, "line breaks or control characters"),
        ({"text": "\u202etxt"}, "line breaks or control characters"),
        ({"text": "   "}, "the text is blank"),
    ],
)
async def test_impossible_marks(token_file: str, body: Any, message: str) -> None:
    """What is no short line of text does not reach the journal."""
    stage = ended_and_open()
    async with serving(stage, marks_token_file=token_file) as server:
        reply = await mark(server, body)
    assert reply.status == 400
    conform(reply, "/api/v1/marks", "post")
    assert message in reply.json["error"]["message"]
    assert [type(e) for e in stage.journal] == [RunStarted]


async def test_who_may_not_mark(token_file: str) -> None:
    """Nobody unknown writes; without any way to be known the answer says what to do."""
    body = {"text": "hello"}
    stage = ended_and_open()
    async with serving(stage) as server:
        forbidden = await mark(server, body)
    conform(forbidden, "/api/v1/marks", "post")
    assert forbidden.status == 403
    assert "[http] marks_token_file" in forbidden.json["error"]["message"]
    async with serving(stage, marks_token_file=token_file) as server:
        wrong = await mark(server, body, token=TOKEN + "x")
        bare = await mark(server, body, headers={"Content-Type": "application/json"})
        form = await mark(server, body, headers={"Authorization": f"Bearer {TOKEN}"})
        large = await mark(server, b"x" * 5000)
        Path(token_file).write_text("another-token-that-is-long\n")
        rotated = await mark(server, body, token="another-token-that-is-long")
        old = await mark(server, body)
    assert [r.status for r in (wrong, bare, form, large, rotated, old)] == [
        401,
        401,
        415,
        413,
        201,
        401,
    ]
    for reply in (wrong, bare, form, large, rotated, old):
        conform(reply, "/api/v1/marks", "post")
    assert "Bearer" in wrong.headers["WWW-Authenticate"]


async def test_when_no_mark_can_be_taken(token_file: str) -> None:
    """There is no journal before the load, and a limit to how much goes into it."""
    stage = Stage.make()
    async with serving(stage, marks_token_file=token_file) as server:
        early = await mark(server, {"text": "too early"})
        stage.begin()
        stage.view._marks = MOST_MARKS - 1
        last = await mark(server, {"text": "last"})
        full = await mark(server, {"text": "one too many"})
    assert [r.status for r in (early, last, full)] == [409, 201, 409]
    conform(full, "/api/v1/marks", "post")
    assert [type(e) for e in stage.journal] == [RunStarted, MarkMade]
