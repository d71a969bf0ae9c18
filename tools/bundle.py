"""Makes one file with all that an instance installs loadprobe from, without a network.

The wheel of this tree, those of every dependency as they were locked and tested, and
the unit of systemd. The same tree gives the same file, to the byte.
"""

import argparse
import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}
PYTHON = "3.11"
"""That of the package python3.11 of Amazon Linux 2023."""

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


def _pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, cwd=ROOT)


def collect(wheels: Path, machine: str) -> None:
    """Build the wheel of this tree, and fetch those that it was tested with."""
    _pip("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), ".")
    platforms = [f"--platform=manylinux{glibc}_{machine}" for glibc in _GLIBC]
    _pip(
        *("download", "-q", "--require-hashes", "--only-binary=:all:"),
        *("--python-version", PYTHON, *platforms, "-d", str(wheels)),
        *("-r", "deploy/requirements.lock"),
    )


def main() -> None:
    """Make a bundle, and say which parameters of a template it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="arm64")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bundle")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder)
        collect(wheels, ARCHITECTURES[given.architecture])
        (ours,) = wheels.glob("loadprobe-*.whl")
        version = ours.name.split("-")[1]
        name = f"loadprobe-{version}-{given.architecture}.tar.gz"
        digest = make_bundle(wheels, given.folder / name)
    print(f"{given.folder / name}")
    print(f"BundleKey={name} BundleDigest={digest}")


if __name__ == "__main__":
    main()
