"""Messages of the Domain Name System (RFC 1035), as far as addresses of names go.

Pure: bytes to values and back. One question in a message, addresses in the answer;
names in answers are skipped, so an alias is followed by whoever answers.
"""

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass

ADDRESS = 1
ADDRESS_6 = 28
NO_ERROR = 0
NO_SUCH_NAME = 3

_INTERNET = 1
_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!2H")
_RECORD = struct.Struct("!2HIH")
_ASK_RECURSIVELY = 0x0100
_IS_ANSWER = 0x8580  # an answer, authoritative, recursion asked for and offered
_CODE = 0x000F
_IS_POINTER = 0xC0
_NAME_OF_QUESTION = 0xC00C  # a pointer to the name right behind the header
_LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True)
class Query:
    """A question.

    Args:
        number: links the answer to it.
        name: in lower case, without the dot at the end.
        kind: ``ADDRESS`` or ``ADDRESS_6``, or another type.
    """

    number: int
    name: str
    kind: int = ADDRESS


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What was answered.

    Args:
        number: of the query.
        code: ``NO_ERROR``, ``NO_SUCH_NAME`` or another.
        addresses: in the order of the message.
        ttl_s: how long they may be kept, in seconds; 0 if there are none.
    """

    number: int
    code: int
    addresses: tuple[str, ...] = ()
    ttl_s: int = 0


def encode_query(query: Query) -> bytes:
    """Return a question as a message.

    Raises:
        ValueError: the name cannot be asked for.
    """
    head = _HEADER.pack(query.number, _ASK_RECURSIVELY, 1, 0, 0, 0)
    return head + _encode_name(query.name) + _QUESTION.pack(query.kind, _INTERNET)


def parse_query(message: bytes) -> Query:
    """Return the question of a message.

    Raises:
        ValueError: it is none that can be read.
    """
    try:
        number, _, questions, *_ = _HEADER.unpack_from(message)
        if questions != 1:
            raise ValueError(f"{questions} questions, not one")
        labels, at = _read_labels(message, _HEADER.size)
        kind, _ = _QUESTION.unpack_from(message, at)
    except (struct.error, IndexError, UnicodeDecodeError) as exc:
        raise ValueError(f"a message of {len(message)} bytes is cut short") from exc
    if not labels or any("." in label for label in labels):
        raise ValueError("a question for what is no name")
    return Query(number, ".".join(labels).lower(), kind)


def encode_answer(
    query: Query, addresses: Sequence[str], *, ttl_s: int, code: int = NO_ERROR
) -> bytes:
    """Return the answer to a question.

    Args:
        query: the question.
        addresses: of the kind that was asked for.
        ttl_s: how long they may be kept, in seconds.
        code: the result.
    """
    head = _HEADER.pack(query.number, _IS_ANSWER | code, 1, len(addresses), 0, 0)
    parts = [
        head,
        _encode_name(query.name),
        _QUESTION.pack(query.kind, _INTERNET),
    ]
    for address in addresses:
        packed = ipaddress.ip_address(address).packed
        parts.append(struct.pack("!H", _NAME_OF_QUESTION))
        parts.append(_RECORD.pack(query.kind, _INTERNET, ttl_s, len(packed)))
        parts.append(packed)
    return b"".join(parts)


def parse_answer(message: bytes) -> DnsAnswer:
    """Return what a message answers.

    Raises:
        ValueError: it is no answer that can be read.
    """
    found: list[str] = []
    shortest_s: int | None = None
    try:
        number, flags, questions, answers, *_ = _HEADER.unpack_from(message)
        at = _HEADER.size
        for _ in range(questions):
            at = _skip_name(message, at) + _QUESTION.size
        for _ in range(answers):
            at = _skip_name(message, at)
            kind, _, ttl_s, length = _RECORD.unpack_from(message, at)
            at += _RECORD.size
            packed = message[at : at + length]
            at += length
            shortest_s = ttl_s if shortest_s is None else min(shortest_s, ttl_s)
            if kind in (ADDRESS, ADDRESS_6):
                found.append(str(ipaddress.ip_address(packed)))
    except (struct.error, IndexError) as exc:
        raise ValueError(f"a message of {len(message)} bytes is cut short") from exc
    return DnsAnswer(number, flags & _CODE, tuple(found), shortest_s or 0)


def _encode_name(name: str) -> bytes:
    parts: list[bytes] = []
    for label in name.rstrip(".").split("."):
        text = label.encode("idna") if not label.isascii() else label.encode()
        if not 0 < len(text) <= _LONGEST_LABEL:
            raise ValueError(f"{name!r} is no name: a part has 1 to 63 characters")
        parts.append(bytes([len(text)]) + text)
    return b"".join(parts) + b"\0"


def _read_labels(message: bytes, at: int) -> tuple[list[str], int]:
    labels: list[str] = []
    while message[at]:
        length = message[at]
        if length & _IS_POINTER:
            raise ValueError("a question that points elsewhere")
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return labels, at + 1


def _skip_name(message: bytes, at: int) -> int:
    while message[at]:
        if message[at] & _IS_POINTER:
            return at + 2
        at += 1 + message[at]
    return at + 1
