"""What a run of the benchmarks found: printed, kept as JSON, and put on the page. Pure.

The document holds figures of blocks, never single operations.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.rows import Row

SCHEMA_VERSION = 2


class Curve(msgspec.Struct, frozen=True):
    """A line of a picture.

    Args:
        figure: name of the picture.
        panel: title of the part of it.
        label: of the line.
        points: (x, y).
    """

    figure: str
    panel: str
    label: str
    points: tuple[tuple[float, float], ...]


class Found(msgspec.Struct, frozen=True):
    """What one benchmark found."""

    rows: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[Row], curves: Sequence[Curve] = ()) -> "Found":
        """Make it from any sequences."""
        return cls(tuple(rows), tuple(curves))


class Section(msgspec.Struct, frozen=True):
    """One benchmark in the document.

    Args:
        name: of the benchmark.
        found: its rows and curves; empty if all of it failed.
        seconds: how long it took.
        failure: why all of it failed, or None.
    """

    name: str
    found: Found
    seconds: float
    failure: str | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, and one that says so if the whole benchmark failed."""
        if self.failure is None:
            return self.found.rows
        lost = Row(f"all of {self.name}", "", (), failure=self.failure)
        return (*self.found.rows, lost)


class Document(msgspec.Struct, frozen=True):
    """A whole run.

    Args:
        is_quick: one short repetition of everything: figures to look at, not to judge.
        repeats: number of blocks.
        host: facts about the machine.
        sections: in the order in which they ran.
    """

    is_quick: bool
    repeats: int
    host: dict[str, str]
    sections: tuple[Section, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def rows(self) -> list[Row]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section.rows]

    @property
    def curves(self) -> list[Curve]:
        """The curves of all sections."""
        return [curve for section in self.sections for curve in section.found.curves]

    @property
    def is_complete(self) -> bool:
        """Tell whether everything could be measured."""
        return all(row.values for row in self.rows)


def encode(document: Document) -> bytes:
    """Return JSON for people and programs; median and verdict are added to the rows."""
    plain: dict[str, Any] = msgspec.to_builtins(document)
    for section, shown in zip(document.sections, plain["sections"], strict=True):
        for row, line in zip(section.found.rows, shown["found"]["rows"], strict=True):
            line["median"] = row.value if row.values else None
            line["verdict"] = row.verdict
    return msgspec.json.format(msgspec.json.encode(plain)) + b"\n"


def decode(text: bytes) -> Document:
    """Return what ``encode`` wrote.

    Raises:
        msgspec.ValidationError: it is something else, or of another version.
    """
    document = msgspec.json.decode(text, type=Document)
    if document.schema_version != SCHEMA_VERSION:
        raise msgspec.ValidationError(
            f"figures of schema version {document.schema_version}: expected "
            f"{SCHEMA_VERSION}; measure again with `make bench`"
        )
    return document
