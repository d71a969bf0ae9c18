"""Policies name what they can, by the reference of AWS as cfn-lint ships it."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from loadprobe.config.file import parse_config
from loadprobe.control.mutations.lifecycle import CreateGroup
from loadprobe.control.permissions.grants import (
    GRANTS,
    SERVERLESS_GRANTS,
    Grant,
    On,
    actions_of,
)
from loadprobe.control.permissions.needed import policy_of
from loadprobe.control.permissions.policy import (
    GroupName,
    make_statements,
    partition_of,
)
from loadprobe.errors import UsageError
from tests.support.control_states import absent
from tests.support.paths import ROOT
from tools.iam_policies import make_policies, serverless_file

PLACE = GroupName("rg", "eu-west-1", "123456789012")
LANES = '[[lanes]]\nname = "tls"\ntls = true\n'
CONTROL = '[control]\nreplication_group = "rg"\nregion = "eu-west-1"\n'
LARGEST_POLICY = 6144
"""Characters of a managed policy, without white space (IAM quotas)."""


def reference() -> dict[str, Any]:
    """Return actions and resources of ElastiCache."""
    spec = importlib.util.find_spec("cfnlint")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data" / "AdditionalSpecs" / "Policies.json"
    found: dict[str, Any] = json.loads(data.read_text())["elasticache"]
    return found


REFERENCE = reference()


def kind_of(resource: str) -> str:
    """Return the kind of resource of an ARN."""
    return resource.split(":")[5]


ALL_GRANTS = [
    grant
    for table in (GRANTS, SERVERLESS_GRANTS)
    for grants in table.values()
    for grant in grants
]
NEWER = frozenset(
    {"PrepareMigration", "StartMigration", "StopMigration", "CompleteMigration"}
)
"""The reference does not know them of serverless caches yet (cfn-lint 1.58)."""


@pytest.mark.parametrize("grant", ALL_GRANTS, ids=lambda grant: "-".join(grant.actions))
def test_what_can_be_named_is(grant: Grant) -> None:
    """An action is limited to kinds that it knows; "*" is for those that know none."""
    newer = NEWER if grant.on == (On.CACHE,) else frozenset()
    for action in sorted(set(grant.actions) - newer):
        known = REFERENCE["Actions"][action.lower()] or {}
        kinds = set(known.get("Resources", ()))
        if not kinds:
            assert grant.on == (On.EVERYTHING,), action
            continue
        for what in grant.on:
            arn = PLACE.arn(what)
            assert kind_of(arn) in kinds, action
            formats = REFERENCE["Resources"][kind_of(arn)]["ARNFormats"]
            assert any(re.fullmatch(_pattern(each), arn) for each in formats), arn


def _pattern(arn_format: str) -> str:
    return re.sub(r"\$\{\w+\}", "[^:]*", arn_format)


@pytest.mark.parametrize("grant", ALL_GRANTS, ids=lambda grant: "-".join(grant.actions))
def test_conditions_are_known(grant: Grant) -> None:
    """A key of a condition is one that every resource beside it knows."""
    for keys in grant.condition.values():
        for key in keys:
            name = re.sub(r"/.*", "/${TagKey}", key)
            for what in grant.on:
                kind = kind_of(PLACE.arn(what))
                assert name in REFERENCE["Resources"][kind]["ConditionKeys"]


def test_tags_are_those_of_a_created_group() -> None:
    """A create request fulfils the condition, and only such a group may be deleted."""
    made = CreateGroup(1, 0, "cache.t4g.micro", mark="7f3a")
    (call,) = made.plan(absent())
    sent: Any = call.arguments["Tags"]
    tags = {tag["Key"]: tag["Value"] for tag in sent}
    create, _, tagging = make_statements(["create"], PLACE)
    _, delete = make_statements(["delete"], PLACE)

    for statement in (create, tagging):
        ((key, value),) = statement["Condition"]["StringEquals"].items()
        assert tags[key.removeprefix("aws:RequestTag/")] == value
    may_be_set = tagging["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"]
    assert set(may_be_set) == set(tags)
    ((key, value),) = delete["Condition"]["StringEquals"].items()
    assert tags[key.removeprefix("aws:ResourceTag/")] == value
    assert "elasticache:DeleteReplicationGroup" in delete["Action"]


def test_files_are_those_of_the_table() -> None:
    """deploy/iam is what the table says; `python -m tools.iam_policies` writes it."""
    folder = ROOT / "deploy" / "iam"
    assert {path.name: path.read_text() for path in folder.iterdir()} == make_policies()


def test_the_table_in_the_docs() -> None:
    """The page has the actions of every file, and no other files."""
    text = (ROOT / "docs" / "scenarios.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| `(\w+)\.json` \| (.+) \|$", text, re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", actions)) for name, actions in rows}
    serverless = {
        serverless_file(purpose): actions_of(purpose, table=SERVERLESS_GRANTS)
        for purpose in SERVERLESS_GRANTS
    }
    assert told == {purpose: actions_of(purpose) for purpose in GRANTS} | serverless


def test_all_policies_together_are_one_policy() -> None:
    """All of it fits into one managed policy, and nothing in it is said twice."""
    statements = make_statements(GRANTS, PLACE)
    text = json.dumps(statements, separators=(",", ":"))
    assert len(text) < LARGEST_POLICY
    shown = [json.dumps((s["Resource"], s.get("Condition"))) for s in statements]
    assert len(set(shown)) == len(shown)


def test_partitions_are_those_of_the_sdk() -> None:
    """A region is in the partition that botocore knows it to be in."""
    session = botocore.session.get_session()
    for partition in session.get_available_partitions():
        regions = session.get_available_regions("ec2", partition_name=partition)
        assert {partition_of(region) for region in regions} <= {partition}
    assert partition_of("us-gov-west-1") == "aws-us-gov"
    assert PLACE.arn(On.GROUP).startswith("arn:aws:elasticache:eu-west-1:123456789012:")


def test_an_endpoint_of_a_vpc() -> None:
    """An API that is asked by way of an interface endpoint is that of AWS.

    CloudWatch would have an endpoint of its own, and is not asked.
    """
    url = "https://vpce-1.elasticache.eu-west-1.vpce.amazonaws.com"
    text = f'{CONTROL}endpoint_url = "{url}"\n{LANES}'
    config = parse_config(text, where="my.toml")
    assert policy_of(config, (), account="*") == policy_of(
        parse_config(
            f"{CONTROL}[servers]\ncloudwatch = false\n{LANES}", where="my.toml"
        ),
        (),
        account="*",
    )


def test_a_run_about_a_serverless_cache() -> None:
    """Its policy names the cache, and asks for nothing of nodes."""
    text = f'[control]\nserverless_cache = "sc"\nregion = "eu-west-1"\n{LANES}'
    policy = policy_of(
        parse_config(text, where="my.toml"), ("create_serverless",), account="1"
    )
    found = {
        (action, tuple(statement["Resource"]))
        for statement in policy["Statement"]
        for action in statement["Action"]
    }
    here = "arn:aws:elasticache:eu-west-1:1:serverlesscache:sc"
    for action in ("DescribeServerlessCaches", "CreateServerlessCache"):
        assert (f"elasticache:{action}", (here,)) in found
    assert not any("ReplicationGroup" in action for action, _ in found)
    assert not any(action.startswith("cloudwatch:") for action, _ in found)


def test_a_run_that_uses_all() -> None:
    """A policy has what logs in, publishes and sends, and each for its resource."""
    text = (
        f"{CONTROL}{LANES}"
        '[target]\niam_user = "prober"\n'
        '[[webhooks]]\nname = "a"\nkind = "sns"\n'
        'topic_arn = "arn:aws:sns:eu-west-1:123456789012:down"\n'
        "[remote_write]\nsigv4 = true\n"
        'region = "eu-west-1"\n'
        'url = "https://aps.example.com/workspaces/ws-1/api/v1/remote_write"\n'
    )
    policy = policy_of(
        parse_config(text, where="my.toml"), ("tls",), account="123456789012"
    )

    found = {
        action: statement["Resource"]
        for statement in policy["Statement"]
        for action in statement["Action"]
    }
    here = "eu-west-1:123456789012"
    assert found["elasticache:ModifyReplicationGroup"] == [PLACE.arn(On.GROUP)]
    assert found["elasticache:Connect"] == [
        PLACE.arn(On.GROUP),
        f"arn:aws:elasticache:{here}:user:prober",
    ]
    assert found["cloudwatch:GetMetricData"] == ["*"]
    assert found["sns:Publish"] == [f"arn:aws:sns:{here}:down"]
    assert found["aps:RemoteWrite"] == [f"arn:aws:aps:{here}:workspace/ws-1"]


@pytest.mark.parametrize(
    ("text", "operations", "message"),
    [
        (f'[target]\nhost = "h"\n{LANES}', (), "asks nothing of AWS"),
        (f'[target]\nhost = "h"\n{LANES}', ("tls",), r"add \[control\]"),
        (
            f'{CONTROL}endpoint_url = "http://127.0.0.1:1"\n{LANES}',
            ("tls",),
            "asks nothing of AWS",
        ),
    ],
)
def test_nothing_to_allow(text: str, operations: tuple[str, ...], message: str) -> None:
    """What is no matter of AWS gets no policy, and a reason."""
    config = parse_config(text, where="my.toml")
    with pytest.raises(UsageError, match=message):
        policy_of(config, operations, account="*")
