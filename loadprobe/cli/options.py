"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Full = Annotated[
    bool, typer.Option("--full", help="Show all of it, not only what fits a screen.")
]
Junit = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write thresholds and expectations to this file, too, for CI servers.",
    ),
]
ConfigOrUrl = Annotated[
    str, typer.Argument(metavar="CONFIG", help="TOML file, or redis://host:port.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the live page in a browser.")]
