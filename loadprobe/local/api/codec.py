"""The ElastiCache Query protocol, on the server's side.

Everything comes from botocore's own service model: element names, list wire names,
types, wrappers, fault codes and their HTTP status. Pure once the model is loaded.

The protocol: a request is a form (``Action=X&List.member.1.Name=v``); a reply is XML.
In this model seven kinds of shape occur: structure, list, string, boolean, integer,
double and timestamp (botocore 1.40, API version 2015-02-02).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import botocore.loaders
from botocore.model import (
    ListShape,
    OperationModel,
    ServiceModel,
    Shape,
    StructureShape,
)

from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.newer_model import with_newer

Params = dict[str, Any]
_DEFAULT_STATUS = 400
# Of the errors common to all services ("Common Errors" in AWS's API reference) those
# that are not 400 and not in the service model.
_COMMON_STATUS = {
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InternalFailure": 500,
    "InvalidClientTokenId": 403,
    "OptInRequired": 403,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A bare carriage return would be read back as a newline (XML 1.0, section 2.11).
_ENTITIES = {"\r": "&#13;"}


class ApiCodec:
    """Parse requests and render replies of one service.

    Args:
        model: the service model; ``load_codec`` gives ElastiCache's.
    """

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._operations = set(model.operation_names)
        self._namespace = str(model.metadata["xmlNamespace"])
        self._status = {
            str(error["code"]): int(error["httpStatusCode"])
            for shape in map(model.shape_for, model.shape_names)
            if (error := shape.metadata.get("error"))
        } | _COMMON_STATUS

    def parse(self, body: str) -> tuple[str, Params]:
        """Return the operation's name and its typed parameters.

        Args:
            body: the form.

        Raises:
            ApiFault: the action is missing or unknown, a member is unknown, required
                and missing, or not of its type.
        """
        fields = dict(parse_qsl(body, keep_blank_values=True))
        action = fields.pop("Action", None)
        fields.pop("Version", None)
        if action is None:
            raise ApiFault("MissingAction", "The request has no parameter Action.")
        if action not in self._operations:
            raise ApiFault(
                "InvalidAction", f"{action} is no operation of the ElastiCache API."
            )
        tree = _tree(fields)
        shape = self._operation(action).input_shape
        if shape is None:
            return action, {}
        return action, _parse_structure(shape, tree, "")

    def render(self, action: str, result: Mapping[str, Any], request_id: str) -> str:
        """Return the XML of a successful reply.

        Raises:
            ValueError: a member that the model does not have.
            TypeError: a value that is not of its member's type.
        """
        operation = self._operation(action)
        shape = operation.output_shape
        inner = ""
        if shape is not None:
            wrapper = shape.serialization["resultWrapper"]
            content = _render_structure(shape, result, action)
            inner = f"<{wrapper}>{content}</{wrapper}>"
        elif result:
            raise ValueError(f"rendering {action}: it has no result, got {result!r}")
        return (
            f'<{action}Response xmlns="{self._namespace}">{inner}<ResponseMetadata>'
            f"<RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
        )

    def render_fault(self, fault: ApiFault, request_id: str) -> tuple[int, str]:
        """Return the HTTP status and the XML of a fault."""
        status = self._status.get(fault.code, _DEFAULT_STATUS)
        side = "Sender" if status < 500 else "Receiver"
        message = _text(printable(fault.message))
        return status, (
            f'<ErrorResponse xmlns="{self._namespace}"><Error><Type>{side}</Type>'
            f"<Code>{fault.code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )

    def _operation(self, action: str) -> OperationModel:
        return self._model.operation_model(action)


def printable(text: str) -> str:
    """Return a text with "?" for the characters that XML cannot carry."""
    return _NOT_IN_XML.sub("?", text)


def load_codec() -> ApiCodec:
    """Read ElastiCache's service model (about 0.1 s) and return its codec."""
    loaded = botocore.loaders.Loader().load_service_model("elasticache", "service-2")
    return ApiCodec(ServiceModel(with_newer(loaded), "elasticache"))


_Tree = dict[str, Any]  # word -> _Tree; the value of a leaf is under ""


def _tree(fields: Mapping[str, str]) -> _Tree:
    """Turn ``{"A.member.1": "x"}`` into ``{"A": {"member": {"1": {"": "x"}}}}``."""
    root: _Tree = {}
    for path, value in fields.items():
        words = path.split(".")
        if "" in words:
            raise _bad_query(f"there is nothing between two points of {path!r}")
        branch = root
        for word in words:
            branch = branch.setdefault(word, {})
        branch[""] = value
    return root


def _parse(shape: Shape, tree: _Tree, path: str) -> Any:
    if isinstance(shape, StructureShape):
        return _parse_structure(shape, tree, path)
    if isinstance(shape, ListShape):
        return _parse_list(shape, tree, path)
    if set(tree) != {""}:
        raise _bad_query(f"{path} is of type {shape.type_name} and has no members")
    try:
        return _SCALAR_PARSERS[shape.type_name](tree[""])
    except ValueError as exc:
        raise ApiFault(
            "InvalidParameterValue",
            f"The value {tree['']!r} of {path} is not a valid {shape.type_name}.",
        ) from exc


def _parse_structure(shape: StructureShape, tree: _Tree, path: str) -> Params:
    names = {_wire_name(shape, member): member for member in shape.members}
    parsed = {}
    for wire, branch in tree.items():
        where = f"{path}.{wire}" if path else wire
        if wire not in names:
            raise _bad_query(f"there is no member {where}")
        member = names[wire]
        parsed[member] = _parse(shape.members[member], branch, where)
    for member in shape.required_members:
        if member not in parsed:
            raise ApiFault(
                "MissingParameter",
                "The request must contain the parameter "
                f"{f'{path}.' if path else ''}{member}.",
            )
    return parsed


def _parse_list(shape: ListShape, tree: _Tree, path: str) -> list[Any]:
    if tree == {"": ""}:  # how an empty list is sent
        return []
    wire = shape.member.serialization.get("name", "member")
    if set(tree) != {wire}:
        raise _bad_query(f"the elements of the list {path} are {path}.{wire}.N")
    elements = tree[wire]
    if set(elements) != {str(number) for number in range(1, len(elements) + 1)}:
        raise _bad_query(f"the elements of {path}.{wire} are not numbered 1, 2, ...")
    return [
        _parse(shape.member, elements[str(number)], f"{path}.{wire}.{number}")
        for number in range(1, len(elements) + 1)
    ]


def _bad_query(problem: str) -> ApiFault:
    return ApiFault("InvalidQueryParameter", f"The request is malformed: {problem}.")


def _parse_boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _parse_timestamp(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_string(text: str) -> str:
    if _NOT_IN_XML.search(text):  # it could never be shown again
        raise ValueError(text)
    return text


_SCALAR_PARSERS: dict[str, Callable[[str], Any]] = {
    "string": _parse_string,
    "boolean": _parse_boolean,
    "integer": int,
    "double": float,
    "timestamp": _parse_timestamp,
}


def _render(shape: Shape, value: Any, path: str) -> str:
    if isinstance(shape, StructureShape):
        return _render_structure(shape, value, path)
    if isinstance(shape, ListShape):
        tag = shape.member.serialization.get("name", "member")
        return "".join(
            f"<{tag}>{_render(shape.member, element, f'{path}[{number}]')}</{tag}>"
            for number, element in enumerate(value)
        )
    wanted = _SCALAR_TYPES[shape.type_name]
    if not isinstance(value, wanted) or (
        isinstance(value, bool) and wanted is not bool
    ):
        raise TypeError(f"rendering {path}: {value!r} is not of type {shape.type_name}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        in_utc = value.astimezone(UTC).isoformat(timespec="milliseconds")
        return in_utc.replace("+00:00", "Z")
    return _text(str(value))


def _render_structure(
    shape: StructureShape, value: Mapping[str, Any], path: str
) -> str:
    parts = []
    for member, content in value.items():
        if member not in shape.members:
            raise ValueError(f"rendering {path}: {shape.name} has no member {member!r}")
        tag = _wire_name(shape, member)
        inner = _render(shape.members[member], content, f"{path}.{member}")
        parts.append(f"<{tag}>{inner}</{tag}>")
    return "".join(parts)


def _wire_name(shape: StructureShape, member: str) -> str:
    return str(shape.members[member].serialization.get("name", member))


def _text(text: str) -> str:
    forbidden = _NOT_IN_XML.search(text)
    if forbidden:
        raise ValueError(f"the character {forbidden[0]!r} cannot be written in XML")
    return escape(text, _ENTITIES)


_SCALAR_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "double": (int, float),
    "timestamp": datetime,
}
