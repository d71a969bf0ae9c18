"""Writing the page of a run, and saying where it is."""

from pathlib import Path

from loadprobe.cli.saying import say
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import PAGE
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.page import write_page


def save_page(run: RunData, file: Path | None) -> None:
    """Write the page of a run to a file, or into its folder.

    Raises:
        UsageError: it cannot be written.
    """
    path = run.path / PAGE if file is None else file
    try:
        say(str(write_page(run, path)))
    except OSError as exc:
        raise UsageError(
            f"cannot write {str(path)!r}: {exc.strerror or exc}; name another file "
            "with --output"
        ) from exc
