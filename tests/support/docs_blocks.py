"""The fenced blocks of README and docs, as they stand."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.paths import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Args:
        page: the file, relative to the repository.
        line: where it begins.
        language: what is said after the fence.
        text: what is between the fences.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of every command of a shell block, without comments."""
        text = self.text.replace("\\\n", " ")
        lines = text.splitlines()
        if self.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found = [shlex.split(line, comments=True) for line in lines]
        return [words for words in found if words]


def blocks(*languages: str) -> Iterator[Block]:
    """Yield the blocks of some languages, of all pages; without a name, all."""
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if not languages or match[1] in languages:
                yield Block(str(page.relative_to(ROOT)), line, match[1], match[2])


def block(page: str, *, holding: str) -> Block:
    """Return the one block of a page that holds a text."""
    (found,) = [b for b in blocks() if b.page == page and holding in b.text]
    return found
