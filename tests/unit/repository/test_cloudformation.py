"""The templates of deploy/cloudformation: linted, guarded, filled in as AWS would."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint

from loadprobe.config.file import parse_config
from loadprobe.control.permissions.grants import GRANTS, WATCH, actions_of
from loadprobe.core.judging.results import Sealed
from loadprobe.outputs.live.quiet import QuietLines
from tests.support.cloudformation import Stack, accepts
from tests.support.cloudformation_guards import GUARDS
from tests.support.live_view import S
from tests.support.outages import outage
from tests.support.paths import ROOT
from tools.cloudformation.write import MOST_SHARDS, make_templates

FOLDER = ROOT / "deploy" / "cloudformation"
FUNCTION = ROOT / "deploy" / "lambda" / "template.yaml"
CLUSTER, PROBE = FOLDER / "cluster-and-probe.yaml", FOLDER / "probe-only.yaml"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:lp-AbCdEf"
GIVEN = {
    "VpcId": "vpc-1",
    "ProbeSubnet": "subnet-1",
    "ApiRange": "10.0.0.0/16",
    "BundleBucket": "my-bucket",
    "BundleKey": "loadprobe-0.1.0-arm64.tar.gz",
    "BundleDigest": "0" * 64,
}
OF_CLUSTER = {**GIVEN, "CacheSubnets": "subnet-1,subnet-2"}
OF_PROBE = {
    **GIVEN,
    "ReplicationGroup": "my-cluster",
    "GroupSecurityGroup": "sg-1",
}
ZONES = {"Zone1": "eu-west-1a", "Zone2": "eu-west-1b", "Zone3": "eu-west-1c"}
USER_DATA_BYTES = 16_384
"""The most that EC2 takes, before base64."""

every = pytest.mark.parametrize(
    "file", [CLUSTER, PROBE, FUNCTION], ids=lambda path: path.stem
)
both = pytest.mark.parametrize("file", [CLUSTER, PROBE], ids=lambda path: path.stem)


def stack(file: Path, **given: str) -> Stack:
    """Return a template that is filled in."""
    return Stack(file, **((OF_CLUSTER if file == CLUSTER else OF_PROBE) | given))


def user_data(filled: Stack) -> str:
    """Return the script that the instance runs."""
    text: str = filled.properties("Template")["LaunchTemplateData"]["UserData"]
    return text


def config_of(filled: Stack) -> str:
    """Return the configuration that the script writes."""
    script = user_data(filled)
    begin = script.index("loadprobe.toml <<'END'\n") + len("loadprobe.toml <<'END'\n")
    return script[begin : script.index("\nEND\n", begin)]


def test_files_are_made_from_the_pieces() -> None:
    """`python -m tools.cloudformation.write` would change nothing."""
    assert {
        path.name: path.read_text() for path in FOLDER.iterdir()
    } == make_templates()


@every
def test_cfn_lint_finds_nothing(file: Path) -> None:
    """No error and no warning."""
    assert [str(match) for match in lint(file.read_text(), regions=["us-east-1"])] == []


# Rules as a guard has them, each shown to find what it is for.

Break = Callable[[dict[str, Any]], Any]


def _resource(template: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]
    properties: dict[str, Any] = found["Properties"]
    return properties


BREAKS: dict[str, tuple[str, Break]] = {
    "out to all": (
        "no_address_of_all",
        lambda t: _resource(t, "ProbeSecurityGroup")["SecurityGroupEgress"][0].update(
            CidrIp="0.0.0.0/0"
        ),
    ),
    "no egress": (
        "no_address_of_all",
        lambda t: _resource(t, "ProbeSecurityGroup").pop("SecurityGroupEgress"),
    ),
    "in from a range": (
        "only_groups_are_let_in",
        lambda t: _resource(t, "GroupFromProbe").update(CidrIp="10.0.0.0/8"),
    ),
    "other ports": (
        "only_groups_are_let_in",
        lambda t: _resource(t, "GroupFromProbe").update(ToPort=65535),
    ),
    "all secrets": (
        "no_wildcards",
        lambda t: _resource(t, "Role")["Policies"][2]["PolicyDocument"]["Statement"][
            0
        ].update(Resource="*"),
    ),
    "all actions": (
        "no_wildcards",
        lambda t: _resource(t, "Role")["Policies"][0]["PolicyDocument"]["Statement"][
            0
        ].update(Action="elasticache:*"),
    ),
    "a plain disk": (
        "all_is_encrypted",
        lambda t: _resource(t, "Template")["LaunchTemplateData"]["BlockDeviceMappings"][
            0
        ]["Ebs"].update(Encrypted=False),
    ),
    "old metadata": (
        "all_is_encrypted",
        lambda t: _resource(t, "Template")["LaunchTemplateData"].pop("MetadataOptions"),
    ),
    "a disk that goes": (
        "data_is_kept",
        lambda t: _resource(t, "Template")["LaunchTemplateData"]["BlockDeviceMappings"][
            0
        ]["Ebs"].pop("DeleteOnTermination"),
    ),
    "a log that goes": (
        "data_is_kept",
        lambda t: t["Resources"]["LogGroup"].pop("DeletionPolicy"),
    ),
    "a key": ("no_ssh", lambda t: _resource(t, "Probe").update(KeyName="mine")),
}


@every
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_guards(file: Path, guard: Callable[[dict[str, Any]], Iterator[str]]) -> None:
    """A rule finds nothing in what is shipped."""
    assert list(guard(Stack(file).template)) == []


@both
@pytest.mark.parametrize("name", BREAKS)
def test_guards_find_what_they_are_for(file: Path, name: str) -> None:
    """A rule finds what was broken on purpose."""
    named = {guard.__name__: guard for guard in GUARDS}
    guard, spoil = BREAKS[name]
    template = copy.deepcopy(Stack(file).template)
    spoil(template)
    assert list(named[guard](template)) != []


# Parameters at their edges: (what is accepted, what is not).

EDGES: dict[str, tuple[list[str], list[str]]] = {
    "AlarmTopic": (
        ["", "arn:aws:sns:eu-west-1:123456789012:down"],
        ["down", "arn:aws:sns:eu-west-1:12345678901:down", "arn:aws:sqs:a:1:b"],
    ),
    "Architecture": (["arm64", "x86_64"], ["", "aarch64"]),
    "ClusterMode": (["true", "false"], ["", "yes"]),
    "Host": (
        ["a", "clustercfg.my-cluster.abc123.use1.cache.amazonaws.com"],
        ["", "host:6379", "redis://host", "-host", "host.", "h" * 254],
    ),
    "ApiRange": (["10.0.0.0/16", "0.0.0.0/0"], ["", "10.0.0.0", "all", "::/0"]),
    "BundleBucket": (["abc", "my-bucket.1"], ["ab", "s3://my-bucket", "My-Bucket"]),
    "BundleDigest": (["0" * 64, "a" * 64], ["", "0" * 63, "0" * 65, "A" * 64]),
    "BundleKey": (
        ["loadprobe-0.1.0-arm64.tar.gz", "a/b/c.tar.gz"],
        ["", "a.zip", "a b.tar.gz", "a'.tar.gz", "$(x).tar.gz"],
    ),
    "Changes": (["none", "failover", "all"], ["", "tls", "None"]),
    "Engine": (["valkey", "redis"], ["", "memcached", "Valkey"]),
    "EngineVersion": (["7.0", "7.1", "7.2", "8.0", "8.1"], ["6.2", "8", "8.0.1"]),
    "NodeType": (
        ["cache.t4g.micro", "cache.r7g.16xlarge"],
        ["", "t4g.micro", "cache.", "cache.r7g", "CACHE.R7G.LARGE"],
    ),
    "PasswordSecret": (["", SECRET], ["secret", SECRET + "'", "arn:aws:ssm:a:1:b"]),
    "Port": (["1150", "6379", "65535"], ["1149", "65536", "0", "redis"]),
    "ProbeType": (["c7g.medium", "c7i.large"], ["", "c7g.nano", "m1.small"]),
    "RatePerSecond": (["1", "100000"], ["0", "100001", "1.5", "many"]),
    "Replicas": (["0", "2"], ["-1", "3"]),
    "ReplicationGroup": (
        ["ab", "my-cluster", "a" * 40],
        ["", "a", "1a", "-a", "a-", "a--b", "A", "a" * 41, "a'b"],
    ),
    "Shards": (["1", str(MOST_SHARDS)], ["0", str(MOST_SHARDS + 1)]),
    "TlsMode": (["none", "preferred", "required"], ["", "on"]),
    "UserName": (["default", "prober-1"], ["", "1a", "a b", 'a"', "a'", "a" * 121]),
    **{
        zone: (["", "us-east-1a", "us-gov-west-1b"], ["us-east-1", "a", "use1-az1"])
        for zone in ZONES
    },
}


OF_FUNCTION: dict[str, tuple[list[str], list[str]]] = {
    "BundleKey": (["a/loadprobe.zip"], ["a.tar.gz", "a b.zip"]),
    "RatePerSecond": (["1", "20000"], ["0", "20001"]),
}
"""Parameters of the function that are other than those of the same name."""


@every
def test_parameters_at_their_edges(file: Path) -> None:
    """What cannot be meant is refused before anything is made, and its form is told."""
    parameters = Stack(file).template["Parameters"]
    for name, parameter in parameters.items():
        if parameter["Type"] not in {"String", "Number"}:
            assert parameter["Type"].startswith(("AWS::EC2::", "List<AWS::EC2::")), name
            continue
        good, bad = EDGES[name]
        if file == FUNCTION:
            good, bad = OF_FUNCTION.get(name, (good, bad))
        assert [value for value in good if not accepts(parameter, value)] == [], name
        assert [value for value in bad if accepts(parameter, value)] == [], name
        assert parameter["Description"], name
        assert "AllowedPattern" not in parameter or parameter["ConstraintDescription"]


@pytest.mark.parametrize(
    ("given", "broken"),
    [
        ({}, set()),
        ({"EngineVersion": "7.2"}, set()),
        ({"EngineVersion": "7.1"}, {"VersionOfEngine"}),
        ({"Engine": "redis", "EngineVersion": "7.1"}, set()),
        ({"Engine": "redis"}, {"VersionOfRedis"}),
        (ZONES, set()),
        ({"Zone2": "eu-west-1b"}, {"AllZonesOrNone"}),
        ({**ZONES, "Zone3": ""}, {"AllZonesOrNone"}),
    ],
)
def test_rules(given: dict[str, str], broken: set[str]) -> None:
    """Parameters that do not fit each other are refused."""
    assert stack(CLUSTER, **given).broken_rules() == broken


@pytest.mark.parametrize("shards", range(1, MOST_SHARDS + 1))
@pytest.mark.parametrize("replicas", [0, 1, 2])
@pytest.mark.parametrize("zones", [{}, ZONES], ids=["any zone", "zones"])
def test_shards_and_zones(shards: int, replicas: int, zones: dict[str, str]) -> None:
    """There are so many shards, and no node of one is in the zone of another of it."""
    filled = stack(CLUSTER, Shards=str(shards), Replicas=str(replicas), **zones)
    group = filled.properties("Group")

    made = group["NodeGroupConfiguration"]
    assert [each["NodeGroupId"] for each in made] == [
        f"{number:04d}" for number in range(1, shards + 1)
    ]
    assert group["NumNodeGroups"] == str(shards)
    assert group["MultiAZEnabled"] is (replicas > 0)
    for number, each in enumerate(made):
        assert each["ReplicaCount"] == str(replicas)
        if not zones:
            assert set(each) == {"NodeGroupId", "ReplicaCount"}
            continue
        primary = each["PrimaryAvailabilityZone"]
        others = each.get("ReplicaAvailabilityZones", [])
        assert primary == ZONES[f"Zone{number % 3 + 1}"]
        assert len(others) == replicas
        assert len({primary, *others}) == replicas + 1


@pytest.mark.parametrize(
    ("mode", "lanes"),
    [("none", ["tcp"]), ("preferred", ["tcp", "tls"]), ("required", ["tls"])],
)
@both
def test_the_configuration_is_accepted(file: Path, mode: str, lanes: list[str]) -> None:
    """Each TLS mode has the lanes that it serves, and the group is asked of the API."""
    filled = stack(file, TlsMode=mode, RatePerSecond="700", Port="6380")
    config = parse_config(config_of(filled), where="loadprobe.toml")

    assert [lane.name for lane in config.lanes] == lanes
    assert [lane.tls for lane in config.lanes] == [name == "tls" for name in lanes]
    assert {lane.rate_per_s for lane in config.lanes} == {700}
    assert config.control is not None
    assert config.control.region == "eu-west-1"
    assert config.control.replication_group in {"my-cluster", "loadprobe-test"}
    assert config.output.resume


@both
@pytest.mark.parametrize("changes", ["none", "failover", "all"])
def test_what_the_role_may_do(file: Path, changes: str) -> None:
    """It watches, and changes only what the parameter says; it never creates."""
    role = stack(file, Changes=changes).properties("Role")
    found = {
        action.removeprefix("elasticache:")
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in statement["Action"]
        if action.startswith("elasticache:")
    }
    of_changes = [name for name in GRANTS if name not in {WATCH, "create", "delete"}]
    allowed = {
        "none": actions_of(WATCH),
        "failover": actions_of(WATCH, "failover"),
        "all": actions_of(WATCH, *of_changes),
    }
    assert found == allowed[changes]
    assert "DeleteReplicationGroup" not in found


@both
def test_secrets_stay_where_they_are(file: Path) -> None:
    """The password is fetched by the instance, and is in no text of the template."""
    given = {"TlsMode": "required"}
    given |= {"PasswordSecret": SECRET} if file == PROBE else {}
    filled = stack(file, **given)
    secret = SECRET if file == PROBE else "Token"
    policies = filled.properties("Role")["Policies"]
    (policy,) = [each for each in policies if each["PolicyName"] == "secret"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": secret,
        }
    ]
    assert f"--secret-id '{secret}'" in user_data(filled)
    without = stack(file, TlsMode="none").properties("Role")["Policies"]
    assert "secret" not in {each["PolicyName"] for each in without}


def test_the_token_is_for_tls_alone() -> None:
    """Only a group that always encrypts has an AUTH token."""
    tokens = {
        mode: stack(CLUSTER, TlsMode=mode).properties("Group").get("AuthToken")
        for mode in ("none", "preferred", "required")
    }
    assert tokens["required"] == "{{resolve:secretsmanager:Token}}"
    assert tokens["none"] is tokens["preferred"] is None


@pytest.mark.parametrize(
    ("given", "family"),
    [
        ({}, "valkey8"),
        ({"EngineVersion": "7.2"}, "valkey7"),
        ({"Engine": "redis", "EngineVersion": "7.1"}, "redis7"),
    ],
)
def test_the_family_of_parameters(given: dict[str, str], family: str) -> None:
    """It is that of engine and version."""
    group = stack(CLUSTER, **given).properties("ParameterGroup")
    assert group["CacheParameterGroupFamily"] == family


@both
def test_the_image_is_of_the_architecture(file: Path) -> None:
    """Types with a g are Graviton, as EC2 names them."""
    kinds = Stack(file).template["Parameters"]["ProbeType"]["AllowedValues"]
    for kind in kinds:
        image = stack(file, ProbeType=kind).properties("Probe")["ImageId"]
        is_graviton = "g" in kind.split(".")[0]
        assert image.endswith("arm64}}" if is_graviton else "x86_64}}"), kind


@both
def test_the_script_fits(file: Path) -> None:
    """It is shorter than EC2 takes, with the longest parameters."""
    longest = {
        "BundleKey": "a" * 193 + ".tar.gz",
        "ReplicationGroup": "a" * 40,
        "TlsMode": "preferred",
    }
    assert len(user_data(stack(file, **longest)).encode()) < USER_DATA_BYTES


@both
def test_the_filter_finds_what_is_told(file: Path) -> None:
    """A shard that is down is told in the words that the alarm looks for."""
    filled = stack(file)
    pattern = filled.properties("DownFilter")["FilterPattern"]
    down = Sealed(9 * S, opened=[outage(S, 2 * S)], closed=[])
    ((_, told),) = QuietLines(0).take_sealed(down, ())
    assert json.loads(pattern) in told

    errors = filled.properties("ErrorFilter")["FilterPattern"]
    assert errors == '{ $.level = "error" }'
    for name in ("Down", "Error"):
        metric = filled.properties(f"{name}Filter")["MetricTransformations"][0]
        alarm = filled.properties(f"{name}Alarm")
        assert alarm["MetricName"] == metric["MetricName"]
        assert alarm["Namespace"] == metric["MetricNamespace"]
