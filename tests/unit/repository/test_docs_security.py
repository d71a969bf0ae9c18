"""Every line of the threat model names tests, and they are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "security.md"
_TESTS = ROOT / "tests"
_HEAD = ["what could be done", "what protects", "shown by"]


def lines() -> dict[str, tuple[Path, str]]:
    """Return what could be done -> (where its tests are, what shows that it cannot)."""
    found: dict[str, tuple[Path, str]] = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        place = re.search(r"^They are in `([\w/]+)`", section, re.MULTILINE)
        for line in section.splitlines():
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            if not cells or cells == _HEAD or set(cells) == {"---"}:
                continue
            what, _, shown_by = cells
            assert place is not None, f"{what!r}: where are its tests?"
            found[what] = ROOT / place[1], shown_by
    return found


@cache
def promises_of(path: Path) -> dict[str, str]:
    """Return the names of the tests of a file, with what each promises."""
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {
        function.name: ast.get_docstring(function) or ""
        for function in functions
        if function.name.startswith("test_")
    }


def problems(folder: Path, shown_by: str) -> list[str]:
    """Return what is wrong with what a line says of its tests."""
    found: list[str] = []
    path: Path | None = None
    references = re.findall(r"`([^`]+)`", shown_by)
    if not references:
        found.append("no test is named")
    for reference in references:
        name, _, test = reference.partition("::")
        if name:
            places = (folder / name, _TESTS / name)
            path = next((each for each in places if each.is_file()), None)
        if path is None:
            found.append(f"{reference}: no such file")
        elif test and not promises_of(path).get(test):
            found.append(f"{reference}: no such test in {path.name}, or no promise")
        elif not promises_of(path):
            found.append(f"{reference}: there are no tests in it")
    return found


@pytest.mark.parametrize("what", lines())
def test_each_line_names_its_tests(what: str) -> None:
    """The files are there, the tests are in them, and say what they promise."""
    assert problems(*lines()[what]) == []


def test_what_is_not_there_is_found() -> None:
    """A name that was changed, a file that has gone, a line without a test."""
    here = _TESTS / "unit" / "repository"
    own = "`test_docs_security.py::test_what_is_not_there_is_found`"
    assert problems(here, own) == []
    assert len(problems(here, f"{own}, `::test_of_nobody`")) == 1
    assert len(problems(here, "`test_absent.py`")) == 1
    assert len(problems(here, "nothing")) == 1
