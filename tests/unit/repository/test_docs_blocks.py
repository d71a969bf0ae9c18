"""Every block of README and docs is what it says it is, for the code that reads it."""

import ast
import re
import shutil
import subprocess
import tempfile
import tomllib
from typing import Any, cast

import pytest
import typer
import yaml

from benchmarks import run as benchmarks_run
from loadprobe.cli.app import app
from loadprobe.config.file import parse_config
from loadprobe.control.scenario.file import find_scenario, parse_scenario
from loadprobe.outputs.http.web_config import parse_web_config
from tests.support.docs_blocks import Block, block, blocks
from tests.support.paths import ROOT

LANE = '[[lanes]]\nname = "tcp"\n'
TARGET = '[target]\nhost = "127.0.0.1"\n'
_PROGRAMS = {
    "loadprobe",
    "make",
    "pip",
    "python",
    "curl",
    "aws",
    "export",
    "helm",
    "systemctl",
}
_MAKEFILE = (ROOT / "Makefile").read_text()
_EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def named(*languages: str) -> pytest.MarkDecorator:
    """Return a parametrization over the blocks of some languages."""
    found = list(blocks(*languages))
    assert found
    return pytest.mark.parametrize("example", found, ids=lambda block: block.name)


def test_every_block_says_what_it_is() -> None:
    """A block of another language would be looked at by no test."""
    strange = {
        each.name: each.language
        for each in blocks()
        if each.language not in {"toml", "console", "sh", "python", "yaml", "text"}
    }
    assert strange == {}


@named("toml")
def test_files(example: Block) -> None:
    """A configuration or scenario is read by the code that reads a user's."""
    keys = tomllib.loads(example.text)
    if "description" in keys:
        parse_scenario(example.text, where=example.name, name="example")
    elif "expected" in keys:
        text = find_scenario("tls-migration").read_text()
        steps = text.partition("[[expected]]")[0]
        parse_scenario(steps + example.text, where=example.name, name="example")
    else:
        text = example.text
        text += "" if "lanes" in keys else LANE
        text += "" if {"target", "control"} & keys.keys() else TARGET
        parse_config(text, where=example.name)


@named("console", "sh")
def test_commands(example: Block) -> None:
    """Every command is one that its program takes, with its options."""
    assert example.commands
    for words in example.commands:
        assert words[0] in _PROGRAMS | {"LOADPROBE_COMPILE=1"}, words
        match words:
            case ["loadprobe", *rest]:
                parse(rest)
            case ["make", target]:
                assert re.search(rf"^{target}:", _MAKEFILE, re.MULTILINE), words
            case ["pip", "install", what]:
                for extra in re.findall(r"\[(\w+)\]", what):
                    assert extra in _EXTRAS, words
            case ["python", "-m", "benchmarks.run", *rest]:
                benchmarks_run.make_parser().parse_args(rest)


def parse(words: list[str]) -> None:
    """Have the command line read its words; nothing is carried out."""
    command = cast("Any", typer.main.get_command(app))
    context = command.make_context("loadprobe", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def test_the_parser_refuses() -> None:
    """What is not an option, or lacks its argument, does not pass for an example."""
    for words in (["run"], ["run", "my.toml", "--no-such"], ["local", "sideways"]):
        with pytest.raises(cast("type[Exception]", typer.BadParameter.__base__)):
            parse(words)


@named("python")
def test_programs(example: Block) -> None:
    """A program compiles, and what it imports of loadprobe is there."""
    tree = ast.parse(example.text)
    compile(example.text, example.name, "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            module = __import__(node.module, fromlist=["any"])
            assert all(hasattr(module, each.name) for each in node.names), example.name


@named("yaml")
def test_yaml(example: Block) -> None:
    """A web configuration is read by ours, one of Prometheus by promtool."""
    if "scrape_configs" not in yaml.safe_load(example.text):
        text = example.text.replace("$...", "$" + "a" * 53)  # a hash, cut short
        parse_web_config(text, where=example.name)
        return
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH")
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(example.text)
        file.flush()
        subprocess.run([promtool, "check", "config", file.name], check=True)


def test_the_ten_lines_are_ten() -> None:
    """README's example of a TLS migration is as short as it says."""
    example = block("README.md", holding="the endpoint is asked of the API")
    assert len(example.text.splitlines()) <= 10
    config = parse_config(example.text, where="README.md")
    assert config.target.host == ""
    assert [(lane.name, lane.tls) for lane in config.lanes] == [
        ("tcp", False),
        ("tls", True),
    ]
