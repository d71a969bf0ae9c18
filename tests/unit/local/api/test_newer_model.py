"""What the local API knows of newer SDKs is what these know themselves."""

import json
from typing import Any

import botocore.loaders
from botocore.model import ServiceModel, StructureShape

from loadprobe.local.api.newer_model import FILE, OPERATIONS, with_newer
from tools.newer_model import newer_parts, trimmed

KEPT: dict[str, Any] = json.loads(FILE.read_text())


def installed() -> dict[str, Any]:
    """Return the service model of the installed botocore."""
    loader = botocore.loaders.Loader()
    found: dict[str, Any] = loader.load_service_model("elasticache", "service-2")
    return found


def test_every_shape_that_is_used_is_there() -> None:
    """Botocore itself can resolve all that the operations name."""
    model = ServiceModel(with_newer(installed()), "elasticache")
    for name in OPERATIONS:
        operation = model.operation_model(name)
        assert operation.input_shape is not None
        assert "ServerlessCacheName" in operation.input_shape.members
        assert operation.output_shape is not None
        assert "ServerlessCache" in operation.output_shape.members
        assert {shape.name for shape in operation.error_shapes}
    cache = model.shape_for("ServerlessCache")
    assert isinstance(cache, StructureShape)
    migration = cache.members["Migration"]
    assert isinstance(migration, StructureShape)
    assert set(migration.members) >= {"Status", "MigrationEndpoint", "CutoverMode"}


def test_nothing_else_is_changed() -> None:
    """A member that the installed model has is not lost."""
    older = installed()
    merged = with_newer(older)
    for name, shape in older["shapes"].items():
        assert set(shape.get("members", ())) <= set(
            merged["shapes"][name].get("members", ())
        )
    assert set(merged["operations"]) == set(older["operations"]) | set(OPERATIONS)
    assert with_newer(merged) is merged


def test_the_installed_botocore_does_not_know_better() -> None:
    """Of one that knows the calls, what is kept has only what it has."""
    merged = with_newer(installed())
    for name in OPERATIONS:
        kept, there = KEPT["operations"][name], trimmed(merged["operations"][name])
        assert kept["input"] == there["input"]
        assert kept["output"] == there["output"]
    for name, shape in KEPT["shapes"].items():
        there = trimmed(merged["shapes"][name])
        assert shape["type"] == there["type"]
        assert set(shape.get("members", ())) <= set(there.get("members", ()))


def test_what_is_kept_can_be_made_anew() -> None:
    """The tool finds the same operations and shapes in a model that has them."""
    merged = with_newer(installed())
    if merged == installed():
        return  # nothing is missing: there is nothing to compare with
    assert newer_parts(merged, installed()) == KEPT
    assert "documentation" not in FILE.read_text()


def test_texts_are_left_out_and_members_kept() -> None:
    """A member may have the name of a text."""
    shape = {"documentation": "x", "members": {"documentation": {"shape": "String"}}}
    assert trimmed(shape) == {"members": {"documentation": {"shape": "String"}}}
