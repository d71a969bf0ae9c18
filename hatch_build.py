"""Compiles the loop that measures into the wheel, if LOADPROBE_COMPILE=1 asks for it.

The modules are the same ones that run as plain Python otherwise; mypyc turns them into
a C extension, so there is no second implementation to keep alike. Needs a C compiler
and the headers of Python. docs/decisions/011-compiled-loop.md says what it pays.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "LOADPROBE_COMPILE"
NEEDED = ["mypy==2.4.1", "setuptools>=80"]
MODULES = (
    "clock",
    "core/load/foreign_key",
    "core/load/key_record",
    "core/load/key_set",
    "core/load/ledger",
    "core/load/recorder",
    "core/load/values",
    "drivers/base",
    "drivers/resp",
    "drivers/wire/connection",
    "drivers/wire/driver",
    "drivers/wire/keeper",
    "drivers/wire/node",
    "drivers/wire/sending",
    "drivers/wire/sockets",
    "drivers/wire/tls_sockets",
    "drivers/wire/turn",
    "probe/content",
    "probe/keys",
    "probe/lag",
    "probe/lane",
    "probe/loops",
    "probe/making",
)
"""What runs for every arrival, and what it holds."""


def is_wanted() -> bool:
    """Tell whether the environment asks for the compiled loop."""
    return os.environ.get(SWITCH, "0") == "1"


class CompiledLoop(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the extension to a wheel."""

    def dependencies(self) -> list[str]:
        """Return what the build needs besides hatchling."""
        return NEEDED if is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what to put where."""
        if not is_wanted():
            return
        if version == "editable":
            raise ValueError(
                f"{SWITCH}=1 compiles a wheel; an editable install would go on to run "
                f"what was compiled after its source changed. Leave -e or {SWITCH} out"
            )
        self._folder = Path(tempfile.mkdtemp(prefix="loadprobe-compile-"))
        made = compile_loop(Path(self.root), self._folder)
        build_data["force_include"] |= {
            str(library): str(library.relative_to(self._folder)) for library in made
        }
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(
        self,
        version: str,  # noqa: ARG002
        build_data: dict[str, Any],  # noqa: ARG002
        artifact_path: str,  # noqa: ARG002
    ) -> None:
        """Remove what was only needed to build."""
        if is_wanted():
            shutil.rmtree(self._folder)


def compile_loop(root: Path, folder: Path) -> list[Path]:
    """Compile the modules of the package in ``root``.

    Args:
        root: holds ``loadprobe/``.
        folder: an empty one to work in; its layout is that of site-packages.

    Returns:
        The libraries made.

    Raises:
        BaseException: mypyc says on standard output what it cannot compile, and
            setuptools that there is no compiler.
    """
    from mypyc.build import mypycify  # noqa: PLC0415 - only if asked for
    from setuptools import Distribution  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    shutil.copytree(root / "loadprobe", folder / "loadprobe")
    with contextlib.chdir(folder):
        # Libraries that are not installed where wheels are built have no types there;
        # what is made of them is called as Python does it, either way.
        extensions = mypycify(
            [
                "--config-file=",
                "--python-version=3.11",
                "--follow-imports=silent",
                "--ignore-missing-imports",
                *(f"loadprobe/{module}.py" for module in MODULES),
            ],
            group_name="loadprobe",
            opt_level="3",
            debug_level="0",
        )
        command = build_ext(
            Distribution({"name": "loadprobe", "ext_modules": extensions})
        )
        command.inplace = True
        command.ensure_finalized()
        command.run()
    return sorted(folder.glob("*.so")) + sorted(folder.glob("loadprobe/**/*.so"))
