"""The page of a run: one file that opens from disk, and asks nothing of any network.

Scripts and styles are those of ``static/``, told to the browser by their digests; what
comes from a run folder is text in a block of data, and never markup or code.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import PAGE, encode_json
from loadprobe.outputs.folder.private import new_name, replace_whole
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.document import grid_of, page_document
from loadprobe.outputs.page.seconds import coarse_parts, load_course

_SHARED = (
    "words",
    "dom",
    "cells",
    "picture",
    "overview",
    "film",
    "charts",
    "heat",
    "waterfall",
    "verdict",
    "sections",
)
MODULES = (*_SHARED, "main")
"""The modules of the front end: each imports only from those before it."""

LIVE_MODULES = (*_SHARED, "growth", "live")
"""Those of the page that watches a run."""

_STYLES = ("vendor/uPlot.min.css", "page.css")
_CHARTS = "vendor/uPlot.iife.min.js"
_LICENCE = "vendor/uPlot.LICENSE"
_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./\w+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|class)", re.MULTILINE)


def write_page(run: RunData, path: Path | None = None) -> Path:
    """Write the page of a run into its folder, or elsewhere; return where.

    Raises:
        UsageError: the run cannot be shown as a page.
        OSError: the file cannot be written.
    """
    path = run.path / PAGE if path is None else path
    page = make_page(run)
    # In a folder of somebody else that could be a link, which would be followed.
    new_name(path).unlink(missing_ok=True)
    replace_whole(path, page)
    return path


def make_page(run: RunData) -> bytes:
    """Return the page of a run.

    Raises:
        UsageError: the folder holds what is never written, or what JSON cannot.
    """
    try:
        grid = grid_of(run, coarse_parts(run.path))
        document = page_document(run, load_course(run.path, grid))
        return render_page(document, title=f"{run.info.name} - loadprobe")
    except (TypeError, ValueError, OverflowError) as exc:
        raise UsageError(f"{run.path} cannot be shown as a page: {exc}") from exc


def render_page(document: dict[str, Any], *, title: str) -> bytes:
    """Return a page that shows a document of ``page_document``."""
    return _rendered(MODULES, document, title=title)


def render_live_page(*, title: str) -> bytes:
    """Return a page that watches the run of the server that it is from."""
    return _rendered(LIVE_MODULES, None, title=title, more=("connect-src 'self'",))


def _rendered(
    modules: Sequence[str],
    document: dict[str, Any] | None,
    *,
    title: str,
    more: Sequence[str] = (),
) -> bytes:
    style = "\n".join(map(_read, _STYLES))
    scripts = (_read(_CHARTS), _joined(modules))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_source, scripts))}",
            f"style-src {_source(style)}",
            *more,
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    charts, code = scripts
    page = _TEMPLATE.format(
        policy=policy,
        title=_escaped(title),
        style=style,
        data=_harmless(encode_json(document)),
        licence=_read(_LICENCE),
        charts=charts,
        code=code,
    )
    return page.encode()


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main id="page"><noscript>This page needs scripts; the same as text: loadprobe report.
</noscript></main>
<script type="application/json" id="document">{data}</script>
<!-- uPlot, which draws the charts:
{licence}-->
<script>{charts}</script>
<script type="module">{code}</script>
</body>
</html>
"""


def _harmless(document: bytes) -> str:
    """Return JSON that no markup can begin in."""
    return (
        document.replace(b"<", b"\\u003c")
        .replace(b">", b"\\u003e")
        .replace(b"&", b"\\u0026")
        .decode()
    )


def _escaped(text: str) -> str:
    """Return text as markup has it."""
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return text


def _joined(modules: Sequence[str]) -> str:
    """Return modules as one: their imports and exports would name other files."""
    parts = (_read(f"{name}.js") for name in modules)
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", part)) for part in parts)


def _source(content: str) -> str:
    """Return what a policy calls a script or style."""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _read(name: str) -> str:
    static: Traversable = files("loadprobe.outputs.page") / "static"
    return (static / name).read_text("utf-8")
