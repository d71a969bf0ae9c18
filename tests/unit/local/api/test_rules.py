"""What a request may ask for: the rules of the operations, without any server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.node_types import is_node_type, larger_types, smaller_types
from loadprobe.local.api.operations.modify_tls import wanted_mode
from loadprobe.local.api.operations.paging import page
from loadprobe.local.api.operations.replicas import wanted_counts
from loadprobe.local.api.operations.reshard import leaving_shards
from loadprobe.local.api.operations.rules import (
    check_parameter_group,
    check_token,
    find_program,
    refuse,
    require_immediate,
)
from loadprobe.local.cluster.servers import ServerBinary
from loadprobe.local.cluster.settings import TlsMode

VALUE = "InvalidParameterValue"
COMBINATION = "InvalidParameterCombination"
SHARDS = ["0001", "0002", "0003"]
REPLICAS = {"0001": 1, "0002": 2}
REDIS = ServerBinary(Path("/bin/redis-server"), "redis", "7.0.15", has_tls=True)


@pytest.mark.parametrize(
    ("current", "is_enabled", "mode", "expected"),
    [
        ("none", True, "preferred", "preferred"),
        ("preferred", True, "required", "required"),
        ("required", True, "preferred", "preferred"),
        ("preferred", False, None, "none"),
        ("none", False, None, "none"),
        ("preferred", True, None, "preferred"),
        ("required", True, "required", "required"),
    ],
)
def test_encryption_changes_one_step_at_a_time(
    current: TlsMode, is_enabled: bool, mode: str | None, expected: str
) -> None:
    """Neighbouring modes, and the present one, can be asked for."""
    assert wanted_mode(current, is_enabled=is_enabled, mode=mode) == expected


@pytest.mark.parametrize(
    ("current", "is_enabled", "mode", "code", "text"),
    [
        ("none", True, "required", COMBINATION, "it must be preferred first"),
        ("none", True, None, COMBINATION, "it must be preferred first"),
        ("required", False, None, COMBINATION, "it must be preferred first"),
        ("none", None, "preferred", COMBINATION, "set encryption-in-transit as enab"),
        ("preferred", False, "required", COMBINATION, "set encryption-in-transit"),
        ("none", True, "bogus", VALUE, "Invalid TransitEncryptionMode: bogus"),
    ],
)
def test_other_steps_of_encryption_are_refused(
    current: TlsMode, is_enabled: bool | None, mode: str | None, code: str, text: str
) -> None:
    """A leap, a mode without its flag and an unknown mode each have their fault."""
    with pytest.raises(ApiFault, match=text) as caught:
        wanted_mode(current, is_enabled=is_enabled, mode=mode)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("wanted", "lists", "expected"),
    [
        (2, {"remove": ["0002"]}, ["0002"]),
        (1, {"remove": ["0003", "0001"]}, ["0001", "0003"]),
        (2, {"retain": ["0003", "0001"]}, ["0002"]),
    ],
)
def test_scaling_in_names_what_goes_or_what_stays(
    wanted: int, lists: Mapping[str, list[str]], expected: list[str]
) -> None:
    """Node groups to remove and those to retain are two ways to say the same."""
    given: dict[str, Any] = {"remove": None, "retain": None, **lists}
    assert leaving_shards(SHARDS, wanted, **given) == expected


@pytest.mark.parametrize(
    ("wanted", "lists", "code"),
    [
        (2, {}, COMBINATION),
        (2, {"remove": ["0001"], "retain": ["0002", "0003"]}, COMBINATION),
        (2, {"remove": ["0009"]}, "NodeGroupNotFoundFault"),
        (2, {"retain": ["0001", "0009"]}, "NodeGroupNotFoundFault"),
        (2, {"remove": ["0001", "0002"]}, VALUE),
        (2, {"retain": ["0001"]}, VALUE),
    ],
)
def test_scaling_in_without_a_clear_list_is_refused(
    wanted: int, lists: Mapping[str, list[str]], code: str
) -> None:
    """Neither list, both, an unknown node group or a wrong number is a fault."""
    given: dict[str, Any] = {"remove": None, "retain": None, **lists}
    with pytest.raises(ApiFault) as caught:
        leaving_shards(SHARDS, wanted, **given)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"NewReplicaCount": 3}, {"0001": 3, "0002": 3}),
        (
            {"ReplicaConfiguration": [{"NodeGroupId": "0002", "NewReplicaCount": 0}]},
            {"0002": 0},
        ),
    ],
)
def test_replicas_are_counted_for_all_or_by_node_group(
    params: Mapping[str, Any], expected: dict[str, int]
) -> None:
    """One number is for every node group; a configuration is for those it names."""
    assert wanted_counts(REPLICAS, dict(params)) == expected


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, COMBINATION),
        (
            {
                "NewReplicaCount": 1,
                "ReplicaConfiguration": [{"NodeGroupId": "0001", "NewReplicaCount": 1}],
            },
            COMBINATION,
        ),
        (
            {"ReplicaConfiguration": [{"NodeGroupId": "0009", "NewReplicaCount": 1}]},
            "NodeGroupNotFoundFault",
        ),
        ({"NewReplicaCount": 6}, VALUE),
        ({"NewReplicaCount": -1}, VALUE),
    ],
)
def test_impossible_numbers_of_replicas_are_refused(
    params: Mapping[str, Any], code: str
) -> None:
    """Neither or both ways, an unknown node group or more than five is a fault."""
    with pytest.raises(ApiFault) as caught:
        wanted_counts(REPLICAS, dict(params))
    assert caught.value.code == code


def test_auth_tokens_keep_the_rules_and_are_never_shown() -> None:
    """Length and characters are checked; the fault's text has no token in it."""
    good = "Abc123!&#$^<>-xyz"
    assert check_token(good) == good
    for bad in ("short", "x" * 129, "has a space in it", "has/a/slash/in/it", "ü" * 20):
        with pytest.raises(ApiFault) as caught:
            check_token(bad)
        assert caught.value.code == VALUE
        assert bad not in caught.value.message


def test_parameter_groups_decide_on_cluster_mode() -> None:
    """The default groups exist, for their engine and version."""
    assert check_parameter_group("default.redis7", REDIS) is False
    assert check_parameter_group("default.redis7.cluster.on", REDIS) is True
    for name, code in (
        ("mine", "CacheParameterGroupNotFound"),
        ("default.redis6.x.cluster.on", COMBINATION),
        ("default.valkey7", COMBINATION),
    ):
        with pytest.raises(ApiFault) as caught:
            check_parameter_group(name, REDIS)
        assert caught.value.code == code


async def test_engines_and_versions_that_are_not_here_are_refused() -> None:
    """An unknown engine is a wrong value, a missing version a wrong combination."""
    with pytest.raises(ApiFault, match="Invalid engine: memcached") as caught:
        await find_program("memcached", None)
    assert caught.value.code == VALUE
    with pytest.raises(ApiFault, match="Cannot find version 1.2 for redis") as caught:
        await find_program("redis", "1.2")
    assert caught.value.code == COMBINATION


def test_members_without_effect_are_refused_unless_they_say_no() -> None:
    """What is not acted on is refused, but false, nothing and empty are taken."""
    refuse({"A": False, "B": None, "C": []}, ("A", "B", "C", "D"))
    with pytest.raises(ApiFault, match="A is not supported"):
        refuse({"A": True}, ("A",))


def test_some_operations_apply_immediately_only() -> None:
    """ApplyImmediately=false is refused where AWS refuses it."""
    require_immediate({"ApplyImmediately": True})
    with pytest.raises(ApiFault, match="must be true"):
        require_immediate({"ApplyImmediately": False})


def test_node_types_are_ordered_by_size() -> None:
    """The types above and below one are all the others."""
    up, down = larger_types("cache.m6g.large"), smaller_types("cache.m6g.large")
    assert "cache.r7g.xlarge" in up
    assert "cache.t4g.micro" in down
    assert not {*up} & {*down}
    assert is_node_type("cache.m6g.large")
    assert not is_node_type("cache.m6g.enormous")


def test_pages_end_without_a_marker() -> None:
    """A marker leads to the next page, and the last page has none."""
    items = list(range(45))
    shown, following = page(items, {"MaxRecords": 20})
    assert (shown, following) == (items[:20], {"Marker": "20"})
    shown, following = page(items, {"MaxRecords": 20, "Marker": "40"})
    assert (shown, following) == (items[40:], {})
    for wrong in ("-1", "²", "x"):
        with pytest.raises(ApiFault):
            page(items, {"Marker": wrong})
