"""Messages of the name system: both directions of each, and what cannot be read."""

import pytest

from loadprobe.core.dns_message import (
    ADDRESS,
    ADDRESS_6,
    NO_SUCH_NAME,
    DnsAnswer,
    Query,
    encode_answer,
    encode_query,
    parse_answer,
    parse_query,
)


@pytest.mark.parametrize("kind", [ADDRESS, ADDRESS_6])
def test_a_query_is_read_as_it_was_written(kind: int) -> None:
    """Number, name and type come through; names are in lower case."""
    asked = Query(513, "Primary.Example.test", kind)
    assert parse_query(encode_query(asked)) == Query(513, "primary.example.test", kind)


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [(ADDRESS, ("127.0.1.2", "10.0.0.7")), (ADDRESS_6, ("fd00::7",)), (ADDRESS, ())],
)
def test_an_answer_is_read_as_it_was_written(
    kind: int, addresses: tuple[str, ...]
) -> None:
    """Addresses keep their order, and have the time that they may be kept."""
    message = encode_answer(Query(7, "a.test", kind), addresses, ttl_s=15)
    assert parse_answer(message) == DnsAnswer(7, 0, addresses, 15 if addresses else 0)


def test_a_name_that_is_not_there_is_told_by_the_code() -> None:
    """The code of an answer without addresses says why there are none."""
    message = encode_answer(Query(7, "a.test"), (), ttl_s=15, code=NO_SUCH_NAME)
    assert parse_answer(message).code == NO_SUCH_NAME


def test_an_alias_in_an_answer_is_passed_over() -> None:
    """Of an alias and its address the address counts, with the shorter time."""
    message = bytearray(encode_answer(Query(7, "a.test"), ["10.0.0.7"], ttl_s=60))
    message[7] = 2
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\5\0\3\1b\0"
    at = message.index(b"\xc0\x0c")
    answer = parse_answer(bytes(message[:at]) + alias + bytes(message[at:]))
    assert answer == DnsAnswer(7, 0, ("10.0.0.7",), 5)


@pytest.mark.parametrize("name", ["", "a..test", "x" * 64 + ".test"])
def test_what_is_no_name_cannot_be_asked_for(name: str) -> None:
    """A part of a name has 1 to 63 characters."""
    with pytest.raises(ValueError, match="1 to 63"):
        encode_query(Query(1, name))


def test_messages_that_are_cut_short_are_refused() -> None:
    """No message that ends early is read as if it were whole."""
    answer = encode_answer(Query(7, "a.test"), ["10.0.0.7"], ttl_s=60)
    query = encode_query(Query(7, "a.test"))
    for end in range(len(answer) - 1):
        with pytest.raises(ValueError, match="cut short|appear to be"):
            parse_answer(answer[:end])
    for end in range(len(query)):
        with pytest.raises(ValueError, match="cut short"):
            parse_query(query[:end])


@pytest.mark.parametrize("labels", [b"", b"\x01.", b"\x03a.b", b"\x04a..b"])
def test_a_question_for_what_is_no_name_is_refused(labels: bytes) -> None:
    """It could not be answered: no part of a name is empty, or holds a dot."""
    query = encode_query(Query(7, "a"))
    with pytest.raises(ValueError, match="for what is no name"):
        parse_query(query.replace(b"\x01a", labels))
