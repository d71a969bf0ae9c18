"""Writing the page or a picture of a run, and saying where it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadprobe.cli.saying import say
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import FILM_PICTURE, PAGE
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.page import write_page
from loadprobe.outputs.page.still import write_still


def save(run: RunData, file: Path | None, *, has_page: bool, has_picture: bool) -> None:
    """Write the page of a run, a picture of its film, or both.

    Raises:
        UsageError: one of them cannot be written, or both would be one file.
    """
    if has_page and has_picture and file is not None:
        raise UsageError(
            "--output is one file; give --html and --png one after the other"
        )
    if has_page:
        save_page(run, file)
    if has_picture:
        save_picture(run, file)


def save_picture(run: RunData, file: Path | None) -> None:
    """Draw the film of a run into a file, or into one in its folder.

    Raises:
        UsageError: it cannot be drawn or written.
    """
    path = run.path / FILM_PICTURE if file is None else file
    with _writing(path):
        say(str(write_still(run, path)))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say that a file cannot be written, if that is so."""
    try:
        yield
    except OSError as exc:
        raise UsageError(
            f"cannot write {str(path)!r}: {exc.strerror or exc}; name another file "
            "with --output"
        ) from exc


def save_page(run: RunData, file: Path | None) -> None:
    """Write the page of a run to a file, or into its folder.

    Raises:
        UsageError: it cannot be written.
    """
    path = run.path / PAGE if file is None else file
    with _writing(path):
        say(str(write_page(run, path)))
