"""The files around the package: pins, targets, version, and what none may mention."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import loadprobe
from tests.support.paths import ROOT

TARGETS = (
    *("setup", "demo", "test", "verify", "check", "integration", "bench", "calibrate"),
    *("soak", "clean"),
)

COME_ALONG = {"aiobotocore", "anyio", "botocore", "yarl"}
"""Of aioboto3, coredis and aiohttp, which would be nothing without them."""

# In pieces, so that this file does not mention them either.
_MACHINE_PATHS = (
    "/" + r"work/",
    "/" + r"opt/pypi",
    "/" + r"root/",
    r"\.\./" + "shared",
)
_REGISTRY_HOSTS = (
    r"pypi" + r"\.org",
    r"python" + r"hosted\.org",
    r"registry\.npm" + r"js\.org",
    r"proxy\.golang" + r"\.org",
)
UNMENTIONABLE = re.compile(
    rf"(?<![\w.-])(?:{'|'.join(_MACHINE_PATHS)})|{'|'.join(_REGISTRY_HOSTS)}"
)


def _project() -> dict[str, Any]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project: dict[str, Any] = document["project"]
    return project


def _normalized(name: str) -> str:
    """Return a distribution's name as PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements ask for."""
    return {
        _normalized(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in requirements
    }


def _imported() -> set[str]:
    """Return the distributions of other people that the package imports."""
    found: set[str] = set()
    for path in (ROOT / "loadprobe").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
    tops = {name.partition(".")[0] for name in found}
    owners = packages_distributions()
    return {
        _normalized(owner)
        for top in tops - sys.stdlib_module_names - {"loadprobe"}
        for owner in owners[top]
    }


def _pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _tracked_files() -> Iterator[Path]:
    """Yield what git tracks, and what it would track with the next commit."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git work tree")
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if name and path.is_file():
            yield path


def test_no_file_mentions_a_machine_path_or_a_registry() -> None:
    """The tree can be built anywhere: no path of one machine, no registry host."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _tracked_files()
        for number, line in enumerate(
            path.read_text(errors="replace").splitlines(), start=1
        )
        if UNMENTIONABLE.search(line)
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "work/main",
        "--index https://" + "pypi" + ".org/simple",
        "cat ../" + "shared/notes",
    ],
)
def test_the_search_finds_what_it_is_for(line: str) -> None:
    """The pattern of the search above matches each kind of mention."""
    assert UNMENTIONABLE.search(line)


def test_version_is_the_same_everywhere() -> None:
    """The package and its metadata carry one version."""
    assert _project()["version"] == loadprobe.__version__


def test_every_constraint_is_an_exact_pin() -> None:
    """constraints.txt holds ``name==version`` only: no ranges, no addresses."""
    pins = _pins()

    assert pins
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.+!]+", pin)] == []


def test_constraints_cover_every_dependency() -> None:
    """What the project and its dev extra ask for is pinned, loadprobe itself is not."""
    project = _project()
    pinned = {_normalized(pin.partition("==")[0]) for pin in _pins()}
    asked = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
    ]

    assert _names(asked) - pinned == set()
    assert "loadprobe" not in pinned


def test_dependencies_are_what_is_imported() -> None:
    """Nothing is asked for and not used, or used and only there for development."""
    project = _project()
    needed = _names(project["dependencies"])
    extras = project["optional-dependencies"].items()
    optional = {name for key, extra in extras if key != "dev" for name in _names(extra)}

    imported = _imported()

    assert needed - imported == set()
    assert imported - needed - optional - COME_ALONG == set()


@pytest.mark.parametrize("target", TARGETS)
def test_makefile_has_the_target(target: str) -> None:
    """Every documented make target exists and is declared phony."""
    text = (ROOT / "Makefile").read_text()
    phony = " ".join(re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE))

    assert target in phony.split()
    assert re.search(rf"^{target}:", text, re.MULTILINE)


def _recipe(target: str) -> str:
    text = (ROOT / "Makefile").read_text()
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found is not None
    return found[1]


def test_every_test_runs_with_one_of_two_targets() -> None:
    """``make test`` leaves out what is marked ``alone``, ``make verify`` all else."""
    test, verify = _recipe("test"), _recipe("verify")

    for recipe, marked in ((test, '-m "not alone"'), (verify, "-m alone")):
        assert f" {marked}\n" in recipe
        assert recipe.count("pytest") == 1
        assert " -rs " in recipe


def test_continuous_integration_runs_everything() -> None:
    """``.ci/run`` passes only if the checks, the tests and the verification do."""
    text = (ROOT / ".ci" / "run").read_text()

    assert "for target in check test verify; do" in text


def test_every_module_has_a_docstring() -> None:
    """Each module with code in it says what it is for."""
    silent = []
    for path in sorted((ROOT / "loadprobe").rglob("*.py")):
        tree = ast.parse(path.read_text())
        if tree.body and ast.get_docstring(tree) is None:
            silent.append(str(path.relative_to(ROOT)))

    assert silent == []
