"""Whatever is done to a run folder, a report and a page or a UsageError come of it."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadprobe.errors import UsageError
from loadprobe.outputs.folder import documents
from loadprobe.outputs.page.markdown import render_markdown
from loadprobe.outputs.page.overlay import overlaid_run
from loadprobe.outputs.page.page import make_page
from loadprobe.outputs.report.brief import render_brief
from loadprobe.outputs.report.report import render_json, render_text
from loadprobe.run.aftermath import load_any_run
from tests.fuzz import examples
from tests.support.written_run import write_run

NAMES = [
    documents.RUN,
    documents.SUMMARY,
    documents.OUTAGES,
    documents.EVENTS,
    documents.CELLS,
    documents.SERIES,
    documents.HISTOGRAMS,
    "sealed.ndjson",
]
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70).map(lambda number: f"NUMBER{number}"),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.just([[[[{}]]]]),
)


@pytest.fixture(scope="module")
def original() -> Iterator[Path]:
    """Write a run once."""
    with tempfile.TemporaryDirectory() as folder:
        yield write_run(Path(folder))


def look(original: Path, name: str, content: bytes, *, has_verdict: bool) -> None:
    """Report a copy of a run, one of whose files has another content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        shutil.copytree(original, path)
        if not has_verdict:  # then what was judged until then is judged again
            (path / documents.SUMMARY).unlink()
        (path / name).write_bytes(content)
        with suppress(UsageError):
            data = load_any_run(path)
            render_json(data)
            with Path("/dev/null").open("w") as nowhere:
                console = Console(file=nowhere, width=100)
                console.print(render_text(data))
                console.print(render_brief(data))
            render_markdown(data)
            make_page(data)
            overlaid_run(data)


@examples(40)
@given(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 7)), max_size=12),
    st.none() | st.integers(0, 2**20),
    st.booleans(),
)
def test_bits_that_flip_and_ends_that_are_cut(
    original: Path,
    name: str,
    flips: list[tuple[int, int]],
    end: int | None,
    has_verdict: bool,
) -> None:
    """A file on a bad disk."""
    path = original / name
    content = bytearray(path.read_bytes() if path.exists() else b"")
    for at, bit in flips:
        if content:
            content[at % len(content)] ^= 1 << bit
    if end is not None:
        del content[end % (len(content) + 1) :]
    look(original, name, bytes(content), has_verdict=has_verdict)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything in a document."""
    found: list[tuple[Any, Any]] = []
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found.append((document, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


@examples(60)
@given(
    st.sampled_from(NAMES),
    st.integers(0, 2**30),
    WRONG,
    st.sampled_from(["replace", "remove", "twice"]),
    st.booleans(),
)
def test_values_of_another_kind(
    original: Path,
    name: str,
    seed: int,
    wrong: object,
    how: str,
    has_verdict: bool,
) -> None:
    """A file of a hostile hand, or of another version."""
    path = original / name
    if name == documents.CELLS or not path.exists():
        return
    chance = random.Random(seed)
    lines = path.read_bytes().splitlines()
    if name.endswith(".json"):
        lines = [path.read_bytes()]
    index = chance.randrange(len(lines))
    document = orjson.loads(lines[index])
    container, key = chance.choice(_places(document))
    if how == "remove":
        del container[key]
    elif how == "twice" and isinstance(container, list):
        container.append(container[key])
    else:
        container[key] = wrong
    text = orjson.dumps(document).decode()
    if isinstance(wrong, str) and wrong.startswith("NUMBER"):
        text = text.replace(f'"{wrong}"', wrong.removeprefix("NUMBER"))
    lines[index] = text.encode()
    look(original, name, b"\n".join(lines) + b"\n", has_verdict=has_verdict)


@examples(30)
@given(st.sampled_from(NAMES), st.binary(max_size=300), st.booleans())
def test_anything_at_all(
    original: Path, name: str, content: bytes, begins: bool
) -> None:
    """With and without the beginning of a file of ours."""
    path = original / name
    head = path.read_bytes()[:40] if begins and path.exists() else b""
    look(original, name, head + content, has_verdict=True)
