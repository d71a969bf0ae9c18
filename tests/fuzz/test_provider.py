"""Whatever the provider answers, and whatever is asked of the local control plane."""

from contextlib import suppress
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import ClockPair
from loadprobe.control.provider.replies import (
    Call,
    read_cache_cluster,
    read_group,
    read_offset_ns,
    read_records,
    read_update_action,
)
from loadprobe.errors import ControlError
from loadprobe.local.api.codec import ApiCodec, load_codec
from loadprobe.local.api.faults import ApiFault
from tests.fuzz import examples

CALL = Call("DescribeReplicationGroups", ClockPair(0, 0), ClockPair(0, 0), "", None)
DATES = st.datetimes(timezones=st.just(UTC))


def shape(members: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return dictionaries as botocore makes them: any member may lack."""
    return st.fixed_dictionaries({}, optional=members)


TEXT = st.text(max_size=12)
ENDPOINT = shape({"Address": TEXT, "Port": st.integers()})
GROUP = shape(
    {
        "ReplicationGroupId": TEXT,
        "Status": TEXT,
        "ARN": TEXT,
        "PendingModifiedValues": shape({"AuthTokenStatus": TEXT}),
        "NodeGroups": st.lists(
            shape(
                {
                    "NodeGroupId": TEXT,
                    "Status": TEXT,
                    "Slots": st.sampled_from(
                        ["", "0-5", "a", "1-", "-", "5,,9", "9-1"]
                    ),
                    "PrimaryEndpoint": ENDPOINT,
                    "ReaderEndpoint": ENDPOINT,
                    "NodeGroupMembers": st.lists(
                        shape({"CacheClusterId": TEXT}), max_size=3
                    ),
                }
            ),
            max_size=3,
        ),
        "ConfigurationEndpoint": ENDPOINT,
        "TransitEncryptionEnabled": st.booleans(),
        "TransitEncryptionMode": TEXT,
        "ClusterEnabled": st.booleans(),
        "UserGroupIds": st.lists(TEXT, max_size=2),
        "ReplicationGroupCreateTime": DATES,
        "AuthTokenLastModifiedDate": DATES,
    }
)


@examples(150)
@given(GROUP)
def test_any_group(reply: dict[str, Any]) -> None:
    """It is read, or told to be no answer: members that must be there may lack."""
    with suppress(ControlError):
        read_group(reply, CALL)


@examples(100)
@given(
    shape({"CacheClusterId": TEXT, "PendingModifiedValues": shape({"a": TEXT})}),
    shape(
        {
            "ServiceUpdateName": TEXT,
            "NodeGroupUpdateStatus": st.lists(
                shape(
                    {
                        "NodeGroupMemberUpdateStatus": st.lists(
                            shape(
                                {"NodeUpdateStatus": TEXT, "NodeUpdateStartDate": DATES}
                            ),
                            max_size=2,
                        )
                    }
                ),
                max_size=2,
            ),
        }
    ),
    st.lists(shape({"SourceIdentifier": TEXT, "Date": DATES, "Message": TEXT})),
)
def test_any_node_update_and_event(
    node: dict[str, Any], update: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    """They are read, or told to be no answer."""
    with suppress(ControlError):
        read_cache_cluster(node)
    with suppress(ControlError):
        read_update_action(update)
    with suppress(ControlError):
        read_records(events)


@examples(150)
@given(
    TEXT
    | st.sampled_from(
        [
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Thu, 01 Jan 1970 00:00:00",
            "Fri, 99 Jan 2025 00:00:00 GMT",
            "Mon, 01 Jan 0001 00:00:00 -2359",
            "Mon, 31 Dec 9999 23:59:59 +9999",
        ]
    )
)
def test_any_date(header: str) -> None:
    """An offset comes of it, or none."""
    read_offset_ns(header, (0, 0))


@pytest.fixture(scope="module")
def codec() -> ApiCodec:
    """Return ElastiCache's codec."""
    return load_codec()


WORDS = st.sampled_from(
    ["", "member", "Tag", "Tags", "Key", "1", "2", "ReplicationGroupId", "StartTime"]
)


@examples(200)
@given(
    st.sampled_from(["CreateReplicationGroup", "DescribeEvents", "TestFailover", "x"]),
    st.lists(st.tuples(st.lists(WORDS | TEXT, max_size=5), TEXT), max_size=6),
    TEXT,
)
def test_any_query(
    codec: ApiCodec, action: str, fields: list[tuple[list[str], str]], more: str
) -> None:
    """It is read, or a fault that can be rendered."""
    body = "&".join(f"{'.'.join(path)}={value}" for path, value in fields)
    for form in (f"Action={action}&{body}", f"{body}&{more}", more):
        try:
            codec.parse(form)
        except ApiFault as fault:
            status, _ = codec.render_fault(fault, "id")
            assert 400 <= status < 500
