"""Writes what a newer service model of ElastiCache has of migrations into caches.

``python -m tools.newer_model SERVICE-2.JSON.GZ`` takes the model of a botocore that has
them, and keeps of it what the installed one lacks, without its texts. The local API
answers newer SDKs by it (``loadprobe.local.api.newer_model``).
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.loaders

from loadprobe.local.api.newer_model import FILE, OPERATIONS

_TEXTS = frozenset({"documentation", "synopsis"})


def trimmed(value: Any, *, members: bool = False) -> Any:
    """Return a part of a model without its texts.

    Args:
        value: the part.
        members: its keys are names of members, none of which is left out.
    """
    if isinstance(value, dict):
        return {
            key: trimmed(each, members=key == "members" and not members)
            for key, each in value.items()
            if members or key not in _TEXTS
        }
    if isinstance(value, list):
        return [trimmed(each) for each in value]
    return value


def newer_parts(newer: dict[str, Any], older: dict[str, Any]) -> dict[str, Any]:
    """Return the operations, and the shapes in them that are new or have changed.

    Args:
        newer: a model that has the operations.
        older: one that has not all of them.
    """
    names = {shape for name in OPERATIONS for shape in _used(newer, name)}
    shapes = {name: trimmed(newer["shapes"][name]) for name in sorted(names)}
    known = {name: trimmed(shape) for name, shape in older["shapes"].items()}
    return {
        "operations": {name: trimmed(newer["operations"][name]) for name in OPERATIONS},
        "shapes": {
            name: shape for name, shape in shapes.items() if known.get(name) != shape
        },
    }


def _used(model: dict[str, Any], operation: str) -> set[str]:
    """Return the shapes that an operation uses, and those that these use."""
    found: set[str] = set()
    open_ = list(_named(model["operations"][operation]))
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            open_ += _named(model["shapes"][name])
    return found


def _named(value: Any) -> Iterator[str]:
    """Yield the names of the shapes that are named in a part of a model."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "shape" and isinstance(each, str):
                yield each
            else:
                yield from _named(each)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)


if __name__ == "__main__":
    with gzip.open(sys.argv[1]) as file:
        newest = json.load(file)
    installed = botocore.loaders.Loader().load_service_model("elasticache", "service-2")
    Path(FILE).write_text(json.dumps(newer_parts(newest, installed), indent=1) + "\n")
