"""Writes deploy/cloudformation from the pieces here: what both templates have, once.

A line ``#+ NAME`` stands for the lines of a piece, at its own indentation; ``#= NAME``
at the end of a line for a value. Permissions are those of the table of the package.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from loadprobe.control.permissions.grants import CHANGES_NOTHING, GRANTS, WATCH
from loadprobe.control.permissions.policy import GroupName, make_statements

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "deploy" / "cloudformation"
MOST_SHARDS = 6
_PLACE = GroupName(
    "${ReplicationGroup}", "${AWS::Region}", "${AWS::AccountId}", "${AWS::Partition}"
)
_ONLY_OF_OURS = frozenset({WATCH, "create", "delete"})
_LINE = re.compile(r"^( *)#\+ (\S+)(?: (\S+))?$")
_VALUE = re.compile(r"#= (\S+)$")

_HEAD = "# Made by python -m tools.cloudformation.write from tools/cloudformation."
_COMMON = {"most-shards": str(MOST_SHARDS)}
_VALUES: dict[str, dict[str, str]] = {
    "cluster-and-probe.yaml": {
        "cache-security-group": "!GetAtt GroupSecurityGroup.GroupId",
        "secret-arn": "!Ref Token",
    },
    "probe-only.yaml": {
        "cache-security-group": "!Ref GroupSecurityGroup",
        "secret-arn": "!Ref PasswordSecret",
    },
}
_PIECES: dict[str, dict[str, str]] = {
    "cluster-and-probe.yaml": {
        "user-name": "UserName: default",
        "probe-depends": "DependsOn: [Group, ProbeToGroup, GroupFromProbe]",
    },
    "probe-only.yaml": {
        "user-name": "UserName: !Ref UserName",
        "probe-depends": "DependsOn: [ProbeToGroup, GroupFromProbe]",
    },
}


def make_templates() -> dict[str, str]:
    """Return the text of every template by its name."""
    return {
        name: "\n".join([_HEAD, *_filled(name, name, "")]) + "\n" for name in _VALUES
    }


def _filled(template: str, piece: str, indent: str, of: str = "") -> Iterator[str]:
    """Yield the lines of a piece, with those that it asks for in it."""
    for line in _lines(template, piece, of):
        asked = _LINE.match(line)
        if asked:
            yield from _filled(template, asked[2], indent + asked[1], asked[3] or "")
            continue
        value = _VALUE.search(line)
        if value:
            known = _COMMON | _VALUES[template]
            line = line[: value.start()] + known[value[1]]  # noqa: PLW2901 - one line
        yield indent + line if line else ""


def _lines(template: str, piece: str, of: str) -> list[str]:
    if piece == "grants":
        return _grants(of)
    if piece == "shards":
        return _shards()
    if piece == "shard-conditions":
        return _shard_conditions()
    if piece == "user-data":
        piece = "user-data.sh"
    found = _PIECES[template].get(piece)
    return (found or (HERE / piece).read_text()).splitlines()


def _grants(of: str) -> list[str]:
    """Return the statements for a purpose, or for all changes of a group."""
    changes = [name for name in GRANTS if name not in CHANGES_NOTHING | _ONLY_OF_OURS]
    lines = []
    for statement in make_statements(changes if of == "changes" else [of], _PLACE):
        lines += ["- Effect: Allow", "  Action:"]
        lines += [f"    - {action}" for action in statement["Action"]]
        lines.append("  Resource:")
        for resource in statement["Resource"]:
            arn = "'*'" if resource == "*" else f"!Sub {resource}"
            lines.append(f"    - {arn}")
        if "Condition" in statement:
            lines.append(f"  Condition: {json.dumps(statement['Condition'])}")
    return lines


def _shard_conditions() -> list[str]:
    lines = [f"HasShard{MOST_SHARDS}: !Equals [!Ref Shards, {MOST_SHARDS}]"]
    for number in range(MOST_SHARDS - 1, 1, -1):
        is_it = f"!Equals [!Ref Shards, {number}]"
        more = f"!Condition HasShard{number + 1}"
        lines.append(f"HasShard{number}: !Or [{is_it}, {more}]")
    return lines


def _shards() -> list[str]:
    """Return the shards: each begins in the zone after that of the one before it."""
    lines: list[str] = []
    for number in range(1, MOST_SHARDS + 1):
        first, second, third = (
            f"!Ref Zone{(number + n - 1) % 3 + 1}" for n in range(3)
        )
        shard = [
            f"NodeGroupId: '{number:04d}'",
            "ReplicaCount: !Ref Replicas",
            f"PrimaryAvailabilityZone: !If [ChoosesZones, {first}, !Ref AWS::NoValue]",
            "ReplicaAvailabilityZones: !If",
            "  - ChoosesZones",
            "  - !If",
            "    - HasTwoReplicas",
            f"    - [{second}, {third}]",
            f"    - !If [HasReplicas, [{second}], !Ref AWS::NoValue]",
            "  - !Ref AWS::NoValue",
        ]
        if number == 1:
            lines += _item(shard, "")
        else:
            lines += ["- !If", f"  - HasShard{number}", *_item(shard, "  ")]
            lines.append("  - !Ref AWS::NoValue")
    return lines


def _item(lines: list[str], indent: str) -> list[str]:
    """Return lines as one item of a list."""
    return [f"{indent}{'- ' if not n else '  '}{line}" for n, line in enumerate(lines)]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in make_templates().items():
        (FOLDER / name).write_text(text)
