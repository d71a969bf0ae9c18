"""Rules that several operations share. Pure, but for the search for server programs."""

import asyncio
import re
from collections.abc import Iterable

from loadprobe.errors import PreflightError
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.node_types import is_node_type
from loadprobe.local.cluster.servers import ServerBinary, find_engine

ENGINES = ("redis", "valkey")
MOST_REPLICAS = 5
MOST_SHARDS = 90
_PARAMETER_GROUP = re.compile(
    r"default\.(?P<engine>redis|valkey)(?P<major>\d+)(\.x)?(?P<cluster>\.cluster\.on)?"
)
_TOKEN = re.compile(r"[A-Za-z0-9!&#$^<>-]{16,128}")


def bad_value(text: str) -> ApiFault:
    """Return the fault of a value that cannot be."""
    return ApiFault("InvalidParameterValue", text)


def bad_combination(text: str) -> ApiFault:
    """Return the fault of values that cannot be together."""
    return ApiFault("InvalidParameterCombination", text)


def refuse(params: Params, names: Iterable[str]) -> None:
    """Refuse members that the local control plane does not act on.

    Ignoring them would let a caller believe that something was done.
    """
    for name in names:
        if params.get(name) not in (None, False, []):
            raise bad_combination(f"{name} is not supported by this control plane.")


def require_immediate(params: Params) -> None:
    """Refuse ApplyImmediately=false where AWS does."""
    if not params["ApplyImmediately"]:
        raise bad_value("ApplyImmediately must be true for this operation.")


def check_node_type(name: str) -> str:
    """Return a node type that exists."""
    if not is_node_type(name):
        raise bad_value(f"Invalid cache node type: {name}.")
    return name


def check_token(token: str) -> str:
    """Return an auth token that keeps AWS's rules; its text is in no message."""
    if not _TOKEN.fullmatch(token):
        raise bad_value(
            "Invalid AuthToken provided: 16 to 128 characters, letters, digits and "
            "! & # $ ^ < > - only."
        )
    return token


def check_no_user_groups(names: Iterable[str]) -> None:
    """Refuse user groups: there are none here."""
    for name in names:
        raise ApiFault("UserGroupNotFound", f"User group not found: {name}.")


def check_parameter_group(name: str, server: ServerBinary) -> bool:
    """Check a parameter group's name; return whether it turns cluster mode on.

    Only the default groups exist: default.redis7, default.valkey9.cluster.on ...
    """
    found = _PARAMETER_GROUP.fullmatch(name)
    if found is None:
        raise ApiFault(
            "CacheParameterGroupNotFound", f"CacheParameterGroup not found: {name}."
        )
    major = server.version.partition(".")[0]
    if (found["engine"], found["major"]) != (server.engine, major):
        raise bad_combination(
            f"The parameter group {name} is not for {server.engine} {server.version}."
        )
    return found["cluster"] is not None


def read_source(params: Params) -> tuple[str, int]:
    """Return the source's address; the list has exactly one element."""
    endpoints = params["CustomerNodeEndpointList"]
    if len(endpoints) != 1:
        raise bad_value(
            f"CustomerNodeEndpointList has {len(endpoints)} elements: it must have 1."
        )
    (endpoint,) = endpoints
    host, port = endpoint.get("Address", ""), endpoint.get("Port", 0)
    if not host or not 0 < port < 65_536:
        raise bad_value("CustomerNodeEndpointList needs an Address and a Port.")
    return host, port


async def find_program(engine: str | None, version: str | None) -> ServerBinary:
    """Return the server program of an engine, or raise the API's fault.

    Args:
        engine: "redis", "valkey", or None for the first of them that is found.
        version: for example "7.0" or "7.0.15"; None is the newest.
    """
    if engine is not None and engine not in ENGINES:
        raise bad_value(f"Invalid engine: {engine}.")
    missing: PreflightError | None = None
    for name in ENGINES if engine is None else (engine,):
        try:
            return await asyncio.to_thread(find_engine, name, version)
        except PreflightError as exc:
            missing = missing or exc
    raise bad_combination(
        f"Cannot find version {version or '(any)'} for {engine or 'redis'}: {missing}"
    ) from missing
