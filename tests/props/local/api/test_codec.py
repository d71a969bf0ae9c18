"""The Query codec against botocore's own serializer and parser."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import botocore.loaders
import pytest
from botocore.model import (
    ListShape,
    OperationModel,
    ServiceModel,
    Shape,
    StructureShape,
)
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.local.api.codec import ApiCodec
from tests.support.examples import examples

MODEL = ServiceModel(
    botocore.loaders.Loader().load_service_model("elasticache", "service-2"),
    "elasticache",
)
CODEC = ApiCodec(MODEL)
SERIALIZER = create_serializer("query", include_validation=False)
PARSER = create_parser("query")
EXAMPLES = examples(25)

# What XML 1.0 can carry: tab, newline, carriage return and no other control character.
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r<>&\"'.=%+ "),
    max_size=6,
)
MOMENTS = st.integers(0, 4_000_000_000_000).map(
    lambda moment_ms: datetime.fromtimestamp(moment_ms / 1000, UTC)
)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "timestamp": MOMENTS,
}


def values(shape: Shape, *, can_be_empty: bool = False) -> st.SearchStrategy[Any]:
    """Return payloads of a shape; nested structures are never empty (lost in forms)."""
    if isinstance(shape, StructureShape):
        members = {name: values(member) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        filled = st.fixed_dictionaries(required, optional=members)
        return filled if can_be_empty or required else filled.filter(bool)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member), max_size=2)
    return SCALARS[shape.type_name]


def operations() -> list[OperationModel]:
    """Return every operation of the service."""
    return [MODEL.operation_model(name) for name in MODEL.operation_names]


@pytest.mark.parametrize("operation", operations(), ids=lambda each: each.name)
def test_requests_round_trip(operation: OperationModel) -> None:
    """What botocore serializes is parsed to the same parameters, in every operation."""
    assert operation.input_shape is not None

    @EXAMPLES
    @given(values(operation.input_shape, can_be_empty=True))
    def check(params: dict[str, Any]) -> None:
        request = SERIALIZER.serialize_to_request(params, operation)
        assert CODEC.parse(urlencode(request["body"])) == (operation.name, params)

    check()


@pytest.mark.parametrize(
    "operation",
    [each for each in operations() if each.output_shape is not None],
    ids=lambda each: each.name,
)
def test_replies_round_trip(operation: OperationModel) -> None:
    """What the codec renders is parsed by botocore to the same result."""
    shape = operation.output_shape
    assert shape is not None

    @EXAMPLES
    @given(values(shape, can_be_empty=True))
    def check(result: dict[str, Any]) -> None:
        body = CODEC.render(operation.name, result, "request-1")
        response = {"headers": {}, "status_code": 200, "body": body.encode()}
        parsed = PARSER.parse(response, shape)
        assert parsed.pop("ResponseMetadata")["RequestId"] == "request-1"
        assert parsed == result

    check()
