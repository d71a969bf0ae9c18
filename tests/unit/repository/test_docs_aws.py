"""docs/aws.md: its commands are ones that the AWS CLI has, its stacks can be made."""

import re
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

import loadprobe
from tests.support.cloudformation import Stack, accepts
from tests.support.docs_blocks import blocks
from tests.support.paths import ROOT

COMMANDS = [
    words
    for block in blocks("console", "sh")
    for words in block.commands
    if words[0] == "aws"
]
OF_THE_CLI = {
    ("cloudformation", "deploy"): {
        *("--stack-name", "--template-file", "--capabilities"),
        "--parameter-overrides",
    },
    ("logs", "tail"): {"--since"},
    ("s3", "cp"): set(),
    ("s3", "mb"): set(),
}
"""Commands that are no operation of an API, with those of their options used here."""

EVERYWHERE = {"--query", "--output", "--region"}
DEPLOYS = [words for words in COMMANDS if words[1:3] == ["cloudformation", "deploy"]]
TEMPLATES = ("cluster-and-probe", "probe-only")


def options_of(words: list[str]) -> dict[str, list[str]]:
    """Return option -> what follows it."""
    found: dict[str, list[str]] = {}
    for word in words[3:]:
        if word.startswith("--"):
            found[word] = []
        elif found:
            found[next(reversed(found))].append(word)
    return found


def test_commands_of_the_cli() -> None:
    """Every operation and every option is one that its API has."""
    session = botocore.session.get_session()
    assert len(COMMANDS) > 10
    for words in COMMANDS:
        service, operation = words[1:3]
        known = OF_THE_CLI.get((service, operation))
        if known is None:
            model = session.get_service_model(service)
            names = {xform_name(name, "-"): name for name in model.operation_names}
            shape = model.operation_model(names[operation]).input_shape
            assert shape is not None
            known = {f"--{xform_name(name, '-')}" for name in shape.members}
        assert options_of(words).keys() - EVERYWHERE <= known, words


@pytest.mark.parametrize("words", DEPLOYS, ids=lambda words: words[6])
def test_a_stack_can_be_made(words: list[str]) -> None:
    """All that has no default is given, and the template takes each value."""
    options = options_of(words)
    (file,) = options["--template-file"]
    given = dict(pair.split("=", 1) for pair in options["--parameter-overrides"])
    stack = Stack(ROOT / file, **given)

    assert options["--capabilities"] == ["CAPABILITY_IAM"]
    parameters = stack.template["Parameters"]
    needed = {name for name, of in parameters.items() if "Default" not in of}
    assert needed <= given.keys() <= parameters.keys()
    assert [name for name in given if not accepts(parameters[name], given[name])] == []
    assert stack.broken_rules() == set()


def test_the_bundle_is_of_the_version() -> None:
    """The name of the bundle is the one that `make bundle` gives it here."""
    text = (ROOT / "docs" / "aws.md").read_text()
    names = set(re.findall(r"loadprobe-[\d.]+-arm64\.[a-z.]+", text))
    name = f"loadprobe-{loadprobe.__version__}-arm64"
    assert names == {f"{name}.tar.gz", f"{name}.zip"}


def test_the_table_of_parameters() -> None:
    """It has every parameter, in which template it is, and its default."""
    text = (ROOT / "docs" / "aws.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]+) \| ", text, re.MULTILINE)
    files: list[Path] = [
        ROOT / "deploy" / "cloudformation" / f"{name}.yaml" for name in TEMPLATES
    ]
    cluster, probe = (Stack(file).template["Parameters"] for file in files)
    assert {name for name, _, _ in rows} == cluster.keys() | probe.keys()
    for name, where, default in rows:
        is_in = "both" if name in cluster and name in probe else ""
        assert where == (is_in or ("cluster" if name in cluster else "probe")), name
        of = cluster.get(name) or probe[name]
        expected = f"`{of['Default']}`" if of.get("Default") else "none"
        assert default.startswith(expected if "Default" in of else "required"), name
