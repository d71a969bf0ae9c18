"""A CloudFormation template, and what becomes of it with given parameters.

As much of the intrinsic functions as the templates of deploy/ have. What only AWS knows
is a text that says what it would be.
"""

import functools
import re
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

NO_VALUE = object()
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/lp/1",
    "AWS::StackName": "lp",
}


def accepts(parameter: dict[str, Any], value: str) -> bool:
    """Tell whether CloudFormation takes a value for a parameter."""
    allowed = parameter.get("AllowedValues")
    if allowed is not None and value not in map(str, allowed):
        return False
    pattern = parameter.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return False
    if len(value) > int(parameter.get("MaxLength", 4096)):
        return False
    if parameter["Type"] != "Number":
        return True
    if not re.fullmatch(r"-?\d+", value):
        return False
    least = int(parameter.get("MinValue", value))
    most = int(parameter.get("MaxValue", value))
    return least <= int(value) <= most


@functools.cache
def _load(file: Path) -> dict[str, Any]:
    """Return what is in a file; not to be changed."""
    template: dict[str, Any] = cfn_yaml.load(str(file))
    return template


class Stack:
    """A template with parameters.

    Args:
        file: the template.
        given: name -> value of parameters without a default, and of others.
    """

    def __init__(self, file: Path, **given: str) -> None:
        self.template = _load(file)
        self._given = {
            name: str(parameter["Default"])
            for name, parameter in self.template["Parameters"].items()
            if "Default" in parameter
        } | given

    def has(self, condition: str) -> bool:
        """Tell whether a condition holds."""
        return bool(self.value(self.template["Conditions"][condition]))

    def broken_rules(self) -> set[str]:
        """Return the names of the rules that the parameters break."""
        return {
            name
            for name, rule in self.template.get("Rules", {}).items()
            if self.value(rule["RuleCondition"])
            and not all(self.value(each["Assert"]) for each in rule["Assertions"])
        }

    def properties(self, resource: str) -> Any:
        """Return what a resource is made with."""
        return self.value(self.template["Resources"][resource]["Properties"])

    def value(self, node: Any) -> Any:
        """Return what stands for a part of the template."""
        if isinstance(node, list):
            values = [self.value(each) for each in node]
            return [value for value in values if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, of),) = node.items()
            if name.startswith("Fn::") or name in {"Ref", "Condition"}:
                return self._call(name.removeprefix("Fn::"), of)
        found = {name: self.value(of) for name, of in node.items()}
        return {name: value for name, value in found.items() if value is not NO_VALUE}

    def _call(self, name: str, of: Any) -> Any:
        match name:
            case "Ref":
                return self._ref(of)
            case "Condition":
                return self.has(of)
            case "GetAtt":
                return ".".join(of) if isinstance(of, list) else of
            case "If":
                return self.value(of[1] if self.has(of[0]) else of[2])
            case "Sub":
                return self._sub(*(of if isinstance(of, list) else (of,)))
        made = self.value(of)
        match name:
            case "Base64":
                return made
            case "Contains":
                return made[1] in map(str, made[0])
            case "Equals":
                return str(made[0]) == str(made[1])
            case "FindInMap":
                return self.template["Mappings"][made[0]][made[1]][made[2]]
            case "Join":
                return made[0].join(made[1])
            case "Not":
                return not made[0]
            case "Or":
                return any(made)
            case "Select":
                return made[1][int(made[0])]
            case "Split":
                return made[1].split(made[0])
        raise NotImplementedError(name)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.template["Parameters"]:
            return self._given[name]
        assert name in self.template["Resources"], name
        return name

    def _sub(self, text: str, more: dict[str, Any] | None = None) -> str:
        known = {name: self.value(of) for name, of in (more or {}).items()}

        def fill(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in known:
                return str(known[name])
            return name if "." in name else str(self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", fill, text)
