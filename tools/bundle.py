"""Makes one file with all that is installed on AWS, by an instance or as a function.

The wheel of this tree, those of every dependency as they were locked and tested, and
the unit of systemd; or all of it unpacked, with the handler of the function. The same
tree gives the same file, to the byte.
"""

import argparse
import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}
PYTHON = "3.11"
"""That of the package python3.11 of Amazon Linux 2023."""

LAMBDA_PYTHON = "3.13"
"""A runtime of Lambda on Amazon Linux 2023; older ones have an older glibc."""

_GLIBC = ("2014", "_2_24", "_2_27", "_2_28", "_2_31", "_2_34")
"""Wheels for these versions and older ones run on Amazon Linux 2023 (glibc 2.34)."""

_BESIDE = ("deploy/requirements.lock", "deploy/loadprobe.service")


def make_bundle(wheels: Path, file: Path) -> str:
    """Write the bundle of a folder of wheels, and return its SHA-256.

    Args:
        wheels: where the wheel of loadprobe and those of its dependencies are.
        file: what is written.
    """
    content = [*wheels.glob("*.whl"), *(ROOT / name for name in _BESIDE)]
    with (
        file.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(content, key=lambda each: each.name):
            info = tarfile.TarInfo(path.name)
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as opened:
                archive.addfile(info, opened)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def make_function(packages: Path, file: Path) -> str:
    """Write a function as a ZIP file, and return its SHA-256.

    Args:
        packages: folder of what can be imported.
        file: what is written.
    """
    handler = ROOT / "deploy" / "lambda" / "handler.py"
    content = {handler.name: handler} | {
        path.relative_to(packages).as_posix(): path
        for path in packages.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(content):
            info = zipfile.ZipInfo(name)  # of 1980, whenever it was written
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, content[name].read_bytes())
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, cwd=ROOT)


def _of(machine: str, python: str) -> list[str]:
    """Return the options for wheels of another machine, the ones that were tested."""
    platforms = [f"--platform=manylinux{glibc}_{machine}" for glibc in _GLIBC]
    lock = ["--require-hashes", "-r", "deploy/requirements.lock"]
    return ["--only-binary=:all:", "--python-version", python, *platforms, *lock]


def collect(wheels: Path, machine: str, *, is_function: bool) -> None:
    """Build the wheel of this tree, and fetch those that it was tested with.

    Args:
        wheels: folder that they are put into.
        machine: what they are for, as in the names of wheels.
        is_function: unpack them.
    """
    _pip("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), ".")
    if not is_function:
        _pip("download", "-q", "-d", str(wheels), *_of(machine, PYTHON))
        return
    (ours,) = wheels.glob("*.whl")
    into = ("install", "-q", "--target", str(wheels / "packages"))
    _pip(*into, *_of(machine, LAMBDA_PYTHON))
    _pip(*into, "--no-deps", "--no-index", str(ours))


def main() -> None:
    """Make a bundle, and say which parameters of a template it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="arm64")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bundle")
    parser.add_argument("--function", action="store_true", help="for Lambda")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    machine = ARCHITECTURES[given.architecture]
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder)
        collect(wheels, machine, is_function=given.function)
        (ours,) = wheels.glob("loadprobe-*.whl")
        name = f"loadprobe-{ours.name.split('-')[1]}-{given.architecture}"
        if given.function:
            name = f"{name}.zip"
            digest = make_function(wheels / "packages", given.folder / name)
        else:
            name = f"{name}.tar.gz"
            digest = make_bundle(wheels, given.folder / name)
    print(f"{given.folder / name}")
    print(f"BundleKey={name} BundleDigest={digest}")


if __name__ == "__main__":
    main()
