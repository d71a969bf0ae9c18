"""Where the cells of a bench are run.

In clusters that are made here, in one that is there, or in groups that the API creates.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from loadprobe.bench.manifest import BenchManifest
from loadprobe.errors import UsageError
from loadprobe.local.background import down, up
from loadprobe.local.cluster.servers import find_engine, find_server
from loadprobe.local.serve import LocalOptions
from loadprobe.local.state import LocalState

_SHARDS, _REPLICAS = "3", "1"
_ENGINES = ("redis", "valkey")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one cell is run.

    Args:
        sections: keys of its configuration, by section.
        create: keys of the step that creates its group; None if it is there.
    """

    sections: Mapping[str, Mapping[str, object]]
    create: Mapping[str, object] | None = None


@asynccontextmanager
async def place_of(
    manifest: BenchManifest, values: Mapping[str, str], *, has_tls: bool
) -> AsyncIterator[Place]:
    """Have a place for a cell, for as long as the cell lasts.

    Args:
        manifest: the bench.
        values: the cell's point of the matrix.
        has_tls: whether a lane of the cell connects by TLS.
    """
    if manifest.where == "given":
        yield Place({})
    elif manifest.where == "created":
        yield Place({}, _create_step(manifest, values))
    else:
        options = local_options(values, has_tls=has_tls)
        state = await up(options)
        try:
            yield Place(_sections(state))
        finally:
            await down(options.name)


def check_axes(manifest: BenchManifest) -> None:
    """Refuse axes that the place of a bench cannot vary.

    Raises:
        UsageError: it cannot, or an engine is not there.
    """
    for axis in manifest.axes:
        is_of_cluster = axis.name in {"shards", "replicas", "engine"}
        if is_of_cluster and manifest.where == "given":
            raise UsageError(
                f"axis {axis.name}: the cluster of [target] is there and stays as it "
                "is; leave [target] and [control] out for local clusters, or give "
                "--create for groups that are created"
            )
        for value in axis.values if is_of_cluster else ():
            if axis.name == "engine":
                engine, version = split_engine(value)
                if manifest.where == "local":
                    find_engine(engine, version)
            elif not value.isdigit():
                raise UsageError(f"axis {axis.name}: {value!r} is not a number")


def split_engine(text: str) -> tuple[str, str | None]:
    """Return engine and version of ``valkey-9.1``; ``redis`` is any version.

    Raises:
        UsageError: it is neither redis nor valkey.
    """
    engine, _, version = text.partition("-")
    if engine not in _ENGINES:
        raise UsageError(
            f"axis engine: {text!r} is none; write for example redis-7.0 or valkey-9.1"
        )
    return engine, version or None


def local_options(values: Mapping[str, str], *, has_tls: bool) -> LocalOptions:
    """Return the cluster of a cell."""
    server = find_server()
    if "engine" in values:
        server = find_engine(*split_engine(values["engine"]))
    if has_tls and not server.has_tls:
        raise UsageError(
            f"{server.engine} {server.version} ({server.path}) was built without TLS: "
            "it cannot serve the TLS lanes of this cell"
        )
    return LocalOptions(
        name=f"bench-{os.getpid()}",
        shards=int(values.get("shards", _SHARDS)),
        replicas=int(values.get("replicas", _REPLICAS)),
        tls_mode="preferred" if server.has_tls else "none",
        server=str(server.path),
        failovers_per_day=1_000_000,
        die_with_parent=True,
    )


def node_count(values: Mapping[str, str]) -> int:
    """Return how many nodes the group of a cell has."""
    shards = int(values.get("shards", _SHARDS))
    return shards * (1 + int(values.get("replicas", _REPLICAS)))


def _sections(state: LocalState) -> dict[str, dict[str, object]]:
    target: dict[str, Any] = {"host": state.host, "port": state.port}
    if state.tls_port is not None:
        target["tls_port"] = state.tls_port
    if state.ca_file is not None:
        target["ca_file"] = state.ca_file
    return {
        "target": target,
        "control": {
            "replication_group": state.replication_group_id,
            "endpoint_url": state.endpoint_url,
        },
    }


def _create_step(
    manifest: BenchManifest, values: Mapping[str, str]
) -> dict[str, object]:
    step: dict[str, object] = {
        "node_type": manifest.node_type,
        "shards": int(values.get("shards", _SHARDS)),
        "replicas": int(values.get("replicas", _REPLICAS)),
    }
    if "engine" in values:
        engine, version = split_engine(values["engine"])
        step["engine"] = engine
        if version is not None:
            step["version"] = version
    return step
