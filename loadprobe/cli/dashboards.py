"""The command that makes dashboards and rules from the metric catalogue."""

from pathlib import Path
from typing import Annotated

import typer

from loadprobe.cli.saying import say
from loadprobe.errors import UsageError


def dashboards(
    *,
    output: Annotated[
        Path, typer.Option(help="Folder for the files; others in it are left alone.")
    ] = Path("grafana"),
) -> None:
    """Make the Grafana dashboards and Prometheus rules from the metric catalogue."""
    try:
        from loadprobe.dashboards.files import write_files
    except ModuleNotFoundError as exc:
        if exc.name is None or not exc.name.startswith("grafana_foundation_sdk"):
            raise
        raise UsageError(
            "loadprobe dashboards needs the Grafana SDK; install it with "
            "pip install 'loadprobe[dashboards]'"
        ) from exc
    try:
        written = write_files(output)
    except OSError as exc:
        raise UsageError(
            f"cannot write dashboards into {output}: {exc.strerror}; give another "
            "--output"
        ) from exc
    for path in written:
        say(str(path))
