"""Pages: each is one file that opens from disk, and asks nothing of any network.

Scripts and styles are those of ``static/``, told to the browser by their digests; what
comes from a run folder is text in a block of data, and never markup or code.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import PAGE, encode_json
from loadprobe.outputs.folder.private import new_name, replace_whole
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.cloudwatch import load_metrics
from loadprobe.outputs.page.document import grid_of, page_document
from loadprobe.outputs.page.seconds import coarse_parts, load_course
from loadprobe.outputs.page.servers import load_servers

_SHARED = (
    "words",
    "dom",
    "cells",
    "picture",
    "overview",
    "steering",
    "film",
    "charts",
    "heat",
    "servers",
    "waterfall",
    "verdict",
    "sections",
)
MODULES = (*_SHARED, "main")
"""The modules of the front end: each imports only from those before it."""

LIVE_MODULES = (*_SHARED, "growth", "live")
"""Those of the page that watches a run."""

STILL_MODULES = (
    "words",
    "dom",
    "cells",
    "picture",
    "overview",
    "steering",
    "film",
    "still",
)
"""The same of a picture of the film."""

COMPARING = ("words", "dom", "cells", "picture", "strips", "overlay", "compare")
"""The same of the page of a comparison."""

_CHARTS = "vendor/uPlot.iife.min.js"
_LICENCE = "vendor/uPlot.LICENSE"
_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./\w+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|class)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """What shows a document.

    Args:
        modules: each imports only from those before it.
        styles: the files of its styles.
        has_charts: it needs the chart library.
        command: what shows the same as text.
        policy: what else it may do.
    """

    modules: Sequence[str]
    styles: Sequence[str]
    has_charts: bool
    command: str
    policy: Sequence[str] = ()


OF_RUN = FrontEnd(
    MODULES,
    ("vendor/uPlot.min.css", "page.css"),
    has_charts=True,
    command="loadprobe report",
)
OF_LIVE = replace(OF_RUN, modules=LIVE_MODULES, policy=("connect-src 'self'",))
OF_STILL = FrontEnd(
    STILL_MODULES,
    ("page.css", "still.css"),
    has_charts=False,
    command="loadprobe report",
)
OF_COMPARISON = FrontEnd(
    COMPARING,
    ("page.css", "compare.css"),
    has_charts=False,
    command="loadprobe compare",
)


def write_page(run: RunData, path: Path | None = None) -> Path:
    """Write the page of a run into its folder, or elsewhere; return where.

    Raises:
        UsageError: the run cannot be shown as a page.
        OSError: the file cannot be written.
    """
    path = run.path / PAGE if path is None else path
    keep_page(path, make_page(run))
    return path


def keep_page(path: Path, page: bytes) -> None:
    """Write a page, for its owner alone.

    Raises:
        OSError: the file cannot be written.
    """
    # In a folder of somebody else that could be a link, which would be followed.
    new_name(path).unlink(missing_ok=True)
    replace_whole(path, page)


def make_page(run: RunData, front: FrontEnd = OF_RUN) -> bytes:
    """Return the page of a run.

    Args:
        run: as it was read.
        front: what shows it.

    Raises:
        UsageError: the folder holds what is never written, or what JSON cannot.
    """
    try:
        grid = grid_of(run, coarse_parts(run.path))
        course, servers = load_course(run.path, grid), load_servers(run.path, grid)
        metrics = load_metrics(run.path, servers.problems)
        document = page_document(run, course, servers, metrics)
        return render_page(document, title=f"{run.info.name} - loadprobe", front=front)
    except (TypeError, ValueError, OverflowError) as exc:
        raise UsageError(f"{run.path} cannot be shown as a page: {exc}") from exc


def render_live_page(*, title: str) -> bytes:
    """Return a page that watches the run of the server that it is from."""
    return render_page(None, title=title, front=OF_LIVE)


def render_page(
    document: dict[str, Any] | None, *, title: str, front: FrontEnd = OF_RUN
) -> bytes:
    """Return a page that shows a document.

    Args:
        document: all that is shown, for example one of ``page_document``; None if the
            page asks for it.
        title: of the window.
        front: what shows it.
    """
    style = "\n".join(map(_read, front.styles))
    charts = _read(_CHARTS) if front.has_charts else None
    code = _joined(front.modules)
    scripts = [code] if charts is None else [charts, code]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_source, scripts))}",
            f"style-src {_source(style)}",
            *front.policy,
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    page = _TEMPLATE.format(
        policy=policy,
        title=_escaped(title),
        style=style,
        command=front.command,
        data=_harmless(encode_json(document)),
        charts="" if charts is None else _with_licence(charts),
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
<main id="page"><noscript>This page needs scripts; the same as text: {command}.
</noscript></main>
<script type="application/json" id="document">{data}</script>
{charts}<script type="module">{code}</script>
</body>
</html>
"""


def _with_licence(charts: str) -> str:
    licence = _read(_LICENCE)
    about = f"<!-- uPlot, which draws the charts:\n{licence}-->\n"
    return f"{about}<script>{charts}</script>\n"


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
