"""The API of a run, version 1: JSON over HTTP, as docs/openapi.json describes it."""

from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from loadprobe.outputs.http.api_documents import (
    BudgetNow,
    Events,
    EventsQuery,
    MaintenanceNow,
    MarkText,
    NoQuery,
    NumberedEvent,
    Outages,
    OutagesQuery,
    Status,
    TopologyNow,
)
from loadprobe.outputs.http.guard import ACCESS, MARKS, USER, json_reply
from loadprobe.outputs.http.openapi import openapi_document

_Query = TypeVar("_Query", bound=msgspec.Struct)

_NOBODY_MAY = (
    "marks are written by users who are known, and there are none: set [http] "
    "web_config_file to a file with basic_auth_users, or [http] marks_token_file to a "
    "file with a token"
)
_UNKNOWN = "a mark needs a login (basic auth), or the token of [http] marks_token_file"


class RunApi(Protocol):
    """What a run tells of itself; see ``outputs.http.run_view``."""

    @property
    def lanes(self) -> list[str]:
        """Return the names of the lanes."""
        ...

    def status(self) -> Status:
        """Return how the run is doing."""
        ...

    def outages(self, query: OutagesQuery) -> Outages:
        """Return the outages that match."""
        ...

    def events(self, query: EventsQuery) -> Events:
        """Return the events that match."""
        ...

    def shards(self) -> TopologyNow:
        """Return the shards."""
        ...

    def maintenances(self) -> MaintenanceNow:
        """Return what others change, and are going to."""
        ...

    def budgets(self) -> BudgetNow:
        """Return the error budgets."""
        ...

    def mark(self, text: str, by: str) -> NumberedEvent | str:
        """Put a note into the journal; return it, or why it cannot be done now."""
        ...


_RUN: web.AppKey[RunApi] = web.AppKey("run")
_OPENAPI: web.AppKey[bytes] = web.AppKey("openapi")


def add_api(app: web.Application, run: RunApi) -> None:
    """Add the routes of the API."""
    app[_RUN] = run
    app[_OPENAPI] = openapi_document()
    app.router.add_get("/api/v1/status", _status)
    app.router.add_get("/api/v1/outages", _outages)
    app.router.add_get("/api/v1/events", _events)
    app.router.add_get("/api/v1/topology", _topology)
    app.router.add_get("/api/v1/budget", _budget)
    app.router.add_get("/api/v1/maintenance", _maintenance)
    app.router.add_get("/api/v1/openapi.json", _openapi)
    app.router.add_post(MARKS, _mark)


async def _status(request: web.Request) -> web.Response:
    _query(request, NoQuery)
    return json_reply(request.app[_RUN].status())


async def _outages(request: web.Request) -> web.Response:
    query = _query(request, OutagesQuery)
    run = request.app[_RUN]
    if query.lane is not None and query.lane not in run.lanes:
        raise web.HTTPBadRequest(
            text=f"there is no lane {query.lane!r}; lanes: {', '.join(run.lanes)}"
        )
    return json_reply(run.outages(query))


async def _events(request: web.Request) -> web.Response:
    return json_reply(request.app[_RUN].events(_query(request, EventsQuery)))


async def _topology(request: web.Request) -> web.Response:
    _query(request, NoQuery)
    return json_reply(request.app[_RUN].shards())


async def _budget(request: web.Request) -> web.Response:
    _query(request, NoQuery)
    return json_reply(request.app[_RUN].budgets())


async def _maintenance(request: web.Request) -> web.Response:
    _query(request, NoQuery)
    return json_reply(request.app[_RUN].maintenances())


async def _openapi(request: web.Request) -> web.Response:
    return web.Response(
        body=request.app[_OPENAPI], headers={"Content-Type": "application/json"}
    )


async def _mark(request: web.Request) -> web.Response:
    user = request[USER]
    if user is None:
        if not request.app[ACCESS].lets_write:
            raise web.HTTPForbidden(text=_NOBODY_MAY)
        raise web.HTTPUnauthorized(
            headers={"WWW-Authenticate": 'Basic realm="loadprobe", Bearer'},
            text=_UNKNOWN,
        )
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(
            text="send JSON, with the header Content-Type: application/json"
        )
    _query(request, NoQuery)
    try:
        mark = msgspec.json.decode(await request.read(), type=MarkText)
    except web.RequestPayloadError:
        raise web.HTTPBadRequest(text="the body cannot be read; it is cut") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise web.HTTPBadRequest(
            text=f'the body is not usable: {exc}; send {{"text": "what happened"}}'
        ) from None
    if not mark.text.isprintable() or not mark.text.strip():
        raise web.HTTPBadRequest(
            text="the text is blank, or has line breaks or control characters; send "
            "one line of printable characters"
        )
    noted = request.app[_RUN].mark(mark.text, user.name)
    if isinstance(noted, str):
        raise web.HTTPConflict(text=noted)
    return json_reply(noted, status=201)


def _query(request: web.Request, kind: type[_Query]) -> _Query:
    """Return the parameters of a request.

    Raises:
        web.HTTPBadRequest: one is unknown, given twice or impossible.
    """
    given = request.query
    if len(set(given)) < len(given):
        raise web.HTTPBadRequest(text="a parameter is given twice; give it once")
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except (msgspec.MsgspecError, ValueError) as exc:
        known = ", ".join(kind.__struct_fields__) or "none"
        raise web.HTTPBadRequest(
            text=f"the query is not usable: {exc}; parameters: {known}"
        ) from None
