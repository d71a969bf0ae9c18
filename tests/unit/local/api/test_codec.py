"""The Query codec: what it refuses, and the names that differ on the wire."""

from datetime import UTC, datetime
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

from loadprobe.local.api.codec import ApiCodec, load_codec
from loadprobe.local.api.faults import ApiFault

REQUEST_ID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def codec() -> ApiCodec:
    """Return ElastiCache's codec."""
    return load_codec()


def form(**members: str) -> str:
    """Return a form; ``__`` stands for a dot."""
    return urlencode({key.replace("__", "."): value for key, value in members.items()})


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (form(Version="2015-02-02"), "MissingAction", "no parameter Action"),
        (form(Action="MakeCoffee"), "InvalidAction", "MakeCoffee is no operation"),
        (
            form(Action="TestFailover", ReplicationGroupId="rg"),
            "MissingParameter",
            "must contain the parameter NodeGroupId",
        ),
        (
            form(Action="DescribeEvents", Colour="red"),
            "InvalidQueryParameter",
            "there is no member Colour",
        ),
        (
            form(Action="DescribeEvents", Duration="soon"),
            "InvalidParameterValue",
            "'soon' of Duration is not a valid integer",
        ),
        (
            form(Action="DescribeEvents", StartTime="yesterday"),
            "InvalidParameterValue",
            "'yesterday' of StartTime is not a valid timestamp",
        ),
        (
            form(Action="DescribeEvents", Duration__x="1"),
            "InvalidQueryParameter",
            "Duration is of type integer",
        ),
        (
            form(Action="DescribeCacheClusters", ShowCacheNodeInfo="yes"),
            "InvalidParameterValue",
            "not a valid boolean",
        ),
        (
            form(Action="DescribeUpdateActions", ReplicationGroupIds__element__1="rg"),
            "InvalidQueryParameter",
            "are ReplicationGroupIds.member.N",
        ),
        (
            form(Action="DescribeUpdateActions", ReplicationGroupIds__member__2="rg"),
            "InvalidQueryParameter",
            "not numbered",
        ),
    ],
)
def test_refuses_malformed_requests(
    codec: ApiCodec, body: str, code: str, text: str
) -> None:
    """A request that the model does not allow is a fault that says what is wrong."""
    with pytest.raises(ApiFault) as caught:
        codec.parse(body)
    assert caught.value.code == code
    assert text in caught.value.message


def test_reads_list_names_from_the_model(codec: ApiCodec) -> None:
    """Lists are read by the element name that the model gives them."""
    action, params = codec.parse(
        form(
            Action="ModifyReplicationGroupShardConfiguration",
            ReplicationGroupId="rg",
            NodeGroupCount="2",
            ApplyImmediately="true",
            NodeGroupsToRemove__NodeGroupToRemove__1="0003",
        )
    )
    assert action == "ModifyReplicationGroupShardConfiguration"
    assert params == {
        "ReplicationGroupId": "rg",
        "NodeGroupCount": 2,
        "ApplyImmediately": True,
        "NodeGroupsToRemove": ["0003"],
    }


def test_timestamps_without_zone_are_utc(codec: ApiCodec) -> None:
    """A timestamp without an offset is taken as UTC."""
    _, params = codec.parse(form(Action="DescribeEvents", StartTime="2026-01-02T03:04"))
    assert params["StartTime"] == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("result", "error", "text"),
    [
        ({"Colour": "red"}, ValueError, "EventsMessage has no member 'Colour'"),
        ({"Events": [{"Text": "x"}]}, ValueError, "Events[0]: Event has no member"),
        ({"Marker": 7}, TypeError, "Marker: 7 is not of type string"),
        ({"Events": [{"Date": "now"}]}, TypeError, "'now' is not of type timestamp"),
        ({"Marker": "\x00"}, ValueError, "cannot be written in XML"),
    ],
)
def test_never_drops_or_bends_a_result(
    codec: ApiCodec, result: dict[str, object], error: type[Exception], text: str
) -> None:
    """A result that the model cannot carry is an error, not a shorter reply."""
    with pytest.raises(error) as caught:
        codec.render("DescribeEvents", result, REQUEST_ID)
    assert text in str(caught.value)


def test_booleans_are_no_integers(codec: ApiCodec) -> None:
    """True is refused where an integer belongs."""
    group = {"ReplicationGroups": [{"ConfigurationEndpoint": {"Port": True}}]}
    with pytest.raises(TypeError, match="Port: True is not of type integer"):
        codec.render("DescribeReplicationGroups", group, REQUEST_ID)


def test_operations_without_result_have_an_empty_reply(codec: ApiCodec) -> None:
    """An operation that returns nothing is rendered, and refuses a result."""
    shown = codec.render("DeleteCacheSubnetGroup", {}, REQUEST_ID)
    assert ET.fromstring(shown)[0].tag.endswith("ResponseMetadata")
    with pytest.raises(ValueError, match="it has no result"):
        codec.render("DeleteCacheSubnetGroup", {"Marker": "1"}, REQUEST_ID)


@pytest.mark.parametrize(
    ("code", "status", "side"),
    [
        ("ReplicationGroupNotFoundFault", 404, "Sender"),
        ("CacheClusterNotFound", 404, "Sender"),
        ("CacheSubnetGroupNotFoundFault", 400, "Sender"),
        ("TestFailoverNotAvailableFault", 400, "Sender"),
        ("InvalidAction", 400, "Sender"),
        ("InternalFailure", 500, "Receiver"),
    ],
)
def test_faults_have_the_status_of_the_model(
    codec: ApiCodec, code: str, status: int, side: str
) -> None:
    """The HTTP status and the side at fault follow from the fault's code."""
    shown_status, body = codec.render_fault(ApiFault(code, "a < b\x00"), REQUEST_ID)
    assert shown_status == status
    error = ET.fromstring(body)[0]
    assert [child.text for child in error] == [side, code, "a < b?"]


@pytest.mark.parametrize("name", ["A.", ".A", "A..b", "ReplicationGroupId.", "."])
def test_a_name_with_nothing_between_its_points(codec: ApiCodec, name: str) -> None:
    """It is the caller's fault, and is told so."""
    with pytest.raises(ApiFault, match="InvalidQueryParameter"):
        codec.parse(f"Action=DescribeReplicationGroups&{name}=x")
