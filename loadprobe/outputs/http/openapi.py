"""The OpenAPI document of the API, made from the types of ``api_documents``.

Pure. ``python -m loadprobe.outputs.http.openapi > docs/openapi.json`` writes the kept
copy.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from loadprobe import __version__
from loadprobe.outputs.folder.documents import encode_document
from loadprobe.outputs.http.api_documents import (
    BudgetNow,
    ErrorReply,
    Events,
    EventsQuery,
    MaintenanceNow,
    MarkText,
    NumberedEvent,
    Outages,
    OutagesQuery,
    Status,
    TopologyNow,
)

_REPLIES: dict[str, tuple[str, type[msgspec.Struct], type[msgspec.Struct] | None]] = {
    "/api/v1/status": ("How the run is doing", Status, None),
    "/api/v1/outages": ("The latest outages", Outages, OutagesQuery),
    "/api/v1/events": ("The journal", Events, EventsQuery),
    "/api/v1/budget": ("The error budgets, over all runs", BudgetNow, None),
    "/api/v1/maintenance": ("What others change", MaintenanceNow, None),
    "/api/v1/topology": ("The shards as last seen", TopologyNow, None),
}
"""Path -> what it answers to GET, its type, and its parameters."""

_WRONG = {
    "400": "A parameter or the body is not usable",
    "401": "A login is needed",
    "429": "Too many logins are being checked",
}
_WRONG_MARK = _WRONG | {
    "403": "There is no way to be known; the message says what to set",
    "409": "No mark can be taken now",
    "413": "The body is too large",
    "415": "The body is not declared as JSON",
}


def openapi_document() -> bytes:
    """Return the document as JSON, with a final line feed."""
    schemas = msgspec.json.schema_components(
        [
            *(reply for _, reply, _ in _REPLIES.values()),
            OutagesQuery,
            EventsQuery,
            ErrorReply,
            MarkText,
            NumberedEvent,
        ],
        ref_template="#/components/schemas/{name}",
    )[1]
    schemas = {name: _tidy(schema) for name, schema in sorted(schemas.items())}
    paths: dict[str, Any] = {
        path: {
            "get": {
                "operationId": path.rpartition("/")[2],
                "summary": summary,
                "parameters": _parameters(schemas, query),
                "responses": _responses("200", reply, _WRONG),
            }
        }
        for path, (summary, reply, query) in _REPLIES.items()
    }
    paths["/api/v1/marks"] = {
        "post": {
            "operationId": "mark",
            "summary": "Put a note on the timeline",
            "security": [{"login": []}, {"token": []}],
            "requestBody": {"required": True, "content": _json(MarkText)},
            "responses": _responses("201", NumberedEvent, _WRONG_MARK),
        }
    }
    paths["/api/v1/openapi.json"] = {
        "get": {
            "operationId": "openapi",
            "summary": "This document",
            "responses": {
                "200": {
                    "description": "OpenAPI 3.1",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "401": {"description": _WRONG["401"], "content": _json(ErrorReply)},
            },
        }
    }
    for query in (OutagesQuery, EventsQuery):  # their keys are parameters
        del schemas[query.__name__]
    return encode_document(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "loadprobe",
                "version": __version__,
                "description": "What a run tells of itself while it lasts. A login is "
                "needed if the web configuration has users.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "http://127.0.0.1:9121"}],
            "security": [{}, {"login": []}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "login": {"type": "http", "scheme": "basic"},
                    "token": {"type": "http", "scheme": "bearer"},
                },
            },
        }
    )


def _parameters(
    schemas: Mapping[str, Any], query: type[msgspec.Struct] | None
) -> list[dict[str, Any]]:
    if query is None:
        return []
    parameters = []
    for name, schema in schemas[query.__name__]["properties"].items():
        options = [s for s in schema.get("anyOf", [schema]) if s.get("type") != "null"]
        plain = {k: v for k, v in options[0].items() if k != "description"}
        if schema.get("default") is not None:
            plain["default"] = schema["default"]
        parameters.append(
            {
                "name": name,
                "in": "query",
                "description": options[0]["description"],
                "schema": plain,
            }
        )
    return parameters


def _responses(
    status: str, kind: type[msgspec.Struct], wrong: Mapping[str, str]
) -> dict[str, Any]:
    errors = {
        code: {"description": text, "content": _json(ErrorReply)}
        for code, text in wrong.items()
    }
    good = {"description": _first_sentence(kind), "content": _json(kind)}
    return {status: good} | errors


def _json(kind: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"application/json": {"schema": schema}}


def _first_sentence(kind: type[msgspec.Struct]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with its description on one line, and closed to other keys."""
    tidy = dict(schema)
    if "description" in tidy:
        tidy["description"] = re.sub(r"\s+", " ", tidy["description"]).strip()
    if "properties" in tidy:
        tidy["additionalProperties"] = False
    return tidy


if __name__ == "__main__":
    sys.stdout.buffer.write(openapi_document())
