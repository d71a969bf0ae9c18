"""A table of the report that is told in lines where it does not fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Rows:
    """A table; where it does not fit, a line of words for every row.

    Args:
        columns: titles.
        labels: how many of the first columns say what the row is about.
        rows: cells; missing ones at the end are left out of the line.
        texts: how many of the columns after them hold text, not numbers.
    """

    columns: tuple[str, ...]
    labels: int
    rows: Sequence[Sequence[str]]
    texts: int = 0

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for index, column in enumerate(self.columns):
            is_text = index < self.labels + self.texts
            side: JustifyMethod = "left" if is_text else "right"
            # As text: brackets are no markup.
            table.add_column(Text(column), justify=side, no_wrap=True)
        for row in self.rows:
            table.add_row(*map(Text, row))
        unlimited = options.update_width(10_000)
        if console.measure(table, options=unlimited).maximum <= options.max_width:
            yield table
            return
        for row in self.rows:
            cells = zip(self.columns[self.labels :], row[self.labels :], strict=False)
            details = ", ".join(f"{column} {cell}" for column, cell in cells if cell)
            yield Text(f"{' '.join(row[: self.labels])}: {details}")
