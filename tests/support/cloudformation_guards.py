"""Rules for templates, as cfn-guard has them: each yields what breaks it."""

from collections.abc import Iterator
from typing import Any

from loadprobe.control.permissions.grants import GRANTS
from loadprobe.control.permissions.policy import node_metrics


def _nodes(
    node: Any, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, node
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        yield from _nodes(value, (*path, key))


def _all_of(
    template: dict[str, Any], kind: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource


def no_address_of_all(template: dict[str, Any]) -> Iterator[str]:
    """Let nobody in, or out, everywhere; a person may say so in a parameter."""
    for path, node in _nodes(template["Resources"]):
        if node in ("0.0.0.0/0", "::/0"):
            yield f"{path}: {node}"
    for name, group in _all_of(template, "AWS::EC2::SecurityGroup"):
        properties = group["Properties"]
        if not properties.get("SecurityGroupEgress"):
            yield f"{name}: without rules of egress all is allowed"
        if properties.get("SecurityGroupIngress"):
            yield f"{name}: lets somebody in"


def only_groups_are_let_in(template: dict[str, Any]) -> Iterator[str]:
    """Have the nodes admit the security group of the probe, on one port."""
    rules = dict(_all_of(template, "AWS::EC2::SecurityGroupIngress"))
    for name, rule in rules.items():
        of = rule["Properties"]
        if of.get("SourceSecurityGroupId") != {
            "Fn::GetAtt": ["ProbeSecurityGroup", "GroupId"]
        } or not {"CidrIp", "CidrIpv6", "SourcePrefixListId"}.isdisjoint(of):
            yield f"{name}: admits others than the probe"
        if of.get("FromPort") != {"Ref": "Port"} or of["ToPort"] != of["FromPort"]:
            yield f"{name}: is about more than the port"
    if not rules:
        yield "nobody is let in"


def no_wildcards(template: dict[str, Any]) -> Iterator[str]:
    """Allow an action on what it is about; "*" is for those that know nothing."""
    unlimited = {
        f"elasticache:{action}"
        for grants in GRANTS.values()
        for grant in grants
        for action in grant.actions
        if grant.on == ("*",)
    } | set(node_metrics()["Action"])
    for path, node in _nodes(template["Resources"]):
        if not (isinstance(node, dict) and node.get("Effect") == "Allow"):
            continue
        actions = node["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        if any("*" in action for action in actions):
            yield f"{path}: {actions}"
        resources = node.get("Resource", [])
        resources = resources if isinstance(resources, list) else [resources]
        if "*" in resources and not set(actions) <= unlimited:
            yield f"{path}: {actions} on everything"


def all_is_encrypted(template: dict[str, Any]) -> Iterator[str]:
    """Encrypt disks and nodes at rest; transit by default."""
    for name, group in _all_of(template, "AWS::ElastiCache::ReplicationGroup"):
        if group["Properties"].get("AtRestEncryptionEnabled") is not True:
            yield f"{name}: at rest"
        if template["Parameters"]["TlsMode"]["Default"] != "required":
            yield f"{name}: in transit"
    for path, node in _nodes(template["Resources"]):
        is_disk = isinstance(node, dict) and "VolumeType" in node
        if is_disk and node.get("Encrypted") is not True:
            yield f"{path}: a disk"
    for name, one in _all_of(template, "AWS::EC2::LaunchTemplate"):
        options = one["Properties"]["LaunchTemplateData"].get("MetadataOptions", {})
        if options.get("HttpTokens") != "required":
            yield f"{name}: metadata without a token"


def data_is_kept(template: dict[str, Any]) -> Iterator[str]:
    """Say of all that holds data what becomes of it."""
    keeps = {
        "AWS::ElastiCache::ReplicationGroup": {"Snapshot"},
        "AWS::Logs::LogGroup": {"Retain"},
        "AWS::SecretsManager::Secret": {"Delete", "Retain"},
        "AWS::EC2::Instance": {"Delete", "Retain"},
    }
    for kind, policies in keeps.items():
        for name, resource in _all_of(template, kind):
            for key in ("DeletionPolicy", "UpdateReplacePolicy"):
                if resource.get(key) not in policies:
                    yield f"{name}: {key}"
    for path, node in _nodes(template["Resources"]):
        is_disk = isinstance(node, dict) and "VolumeType" in node
        if is_disk and node.get("DeleteOnTermination") is not False:
            yield f"{path}: a disk goes with its instance"


def no_ssh(template: dict[str, Any]) -> Iterator[str]:
    """Have no key, no password in a parameter, and no port 22."""
    for path, node in _nodes(template):
        if path and (path[-1] in {"KeyName", "SSHKey"} or node in (22, "22")):
            yield f"{path}"
    for name in template["Parameters"]:
        if name.lower().endswith(("password", "token")):
            yield f"{name}: a secret as a parameter"


GUARDS = (
    *(no_address_of_all, only_groups_are_let_in, no_wildcards, all_is_encrypted),
    *(data_is_kept, no_ssh),
)
