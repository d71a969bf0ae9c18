"""The script of the instance, run: it tells CloudFormation what `check` found.

Real are bash, the shell's tools and the digests; the programs of the instance that
install, fetch and start are stand-ins that write down what they were asked.
"""

import hashlib
import os
import re
import stat
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadprobe.config.file import parse_config
from tests.support.cloudformation import Stack
from tests.support.paths import ROOT
from tools.bundle import make_bundle, make_function

TEMPLATE = ROOT / "deploy" / "cloudformation" / "probe-only.yaml"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:lp-AbCdEf"
PLACES = re.compile(r"(?<![\w-])(/var/log/loadprobe|/etc/|/opt/)")
NOTE = 'echo "$(basename "$0") $*" >>"$CALLS"\n'
CHECK = """
echo "password file: ${LOADPROBE_TARGET_PASSWORD_FILE:-none}" >>"$CALLS"
if [ "$1" = check ] && [ -e "$CALLS.down" ]; then echo "FAIL  dns  nobody"; exit 2; fi
"""
PROGRAMS = {
    "aws": """
case "$1 $2" in
  "s3 cp") cp "$BUNDLE" "${@: -1}" ;;
  "secretsmanager get-secret-value") echo s3cret ;;
esac
""",
    "dnf": "",
    "systemctl": "",
    "python3.11": """
mkdir -p "$3/bin"
cp "$PROGRAMS/pip" "$PROGRAMS/loadprobe" "$3/bin/"
""",
    "pip": "",
    "loadprobe": CHECK,
    "cfn-signal": "",
    "amazon-cloudwatch-agent-ctl": "",
}


@dataclass
class Instance:
    """A place where the script runs.

    Args:
        folder: what stands for the root of the disk.
        digest: that of the bundle in the bucket.
    """

    folder: Path
    digest: str

    def boot(self, **given: str) -> int:
        """Run the script of a stack with these parameters; return its exit code."""
        stack = Stack(
            TEMPLATE,
            **{
                "VpcId": "vpc-1",
                "ProbeSubnet": "subnet-1",
                "ApiRange": "10.0.0.0/16",
                "BundleBucket": "my-bucket",
                "BundleKey": "lp.tar.gz",
                "BundleDigest": self.digest,
                "ReplicationGroup": "my-cluster",
                "GroupSecurityGroup": "sg-1",
            }
            | given,
        )
        script = stack.properties("Template")["LaunchTemplateData"]["UserData"]
        script = PLACES.sub(lambda found: f"{self.folder}{found[0]}", script)
        environment = {
            "PATH": f"{self.folder / 'programs'}:{os.environ['PATH']}",
            "PROGRAMS": str(self.folder / "programs"),
            "BUNDLE": str(self.folder / "bucket.tar.gz"),
            "CALLS": str(self.folder / "calls"),
        }
        return subprocess.run(
            ["bash", "-c", script], env=environment, check=False, timeout=60
        ).returncode

    @property
    def calls(self) -> list[str]:
        """What was called, in its order."""
        return (self.folder / "calls").read_text().splitlines()

    @property
    def signal(self) -> str:
        """The one signal, which is the last that is said."""
        (told,) = [call for call in self.calls if call.startswith("cfn-signal ")]
        return told

    def file(self, path: str) -> Path:
        """Return a file of the instance."""
        return self.folder / path.lstrip("/")


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    """Return an instance, with a bundle in the bucket."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, body in PROGRAMS.items():
        path = programs / name
        path.write_text(f"#!/bin/bash\n{NOTE}{body}")
        path.chmod(0o755)
    for folder in ("aws/bin", "aws/amazon-cloudwatch-agent/bin"):
        (tmp_path / "opt" / folder).mkdir(parents=True)
    (tmp_path / "opt/aws/amazon-cloudwatch-agent/etc").mkdir()
    signal = tmp_path / "opt/aws/bin/cfn-signal"
    signal.symlink_to(programs / "cfn-signal")
    agent = "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
    (tmp_path / agent).symlink_to(programs / "amazon-cloudwatch-agent-ctl")
    for folder in ("etc/systemd/system", "etc/logrotate.d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "loadprobe-0.1.0-py3-none-any.whl").touch()
    with tarfile.open(tmp_path / "bucket.tar.gz", "w:gz") as archive:
        for path in (
            tmp_path / "loadprobe-0.1.0-py3-none-any.whl",
            ROOT / "deploy" / "requirements.lock",
            ROOT / "deploy" / "loadprobe.service",
        ):
            archive.add(path, path.name)
    digest = hashlib.sha256((tmp_path / "bucket.tar.gz").read_bytes()).hexdigest()
    return Instance(tmp_path, digest)


def test_what_is_well_is_told_at_the_end(instance: Instance) -> None:
    """The unit of this tree runs, once `check` has passed; then success is told."""
    assert instance.boot() == 0

    words = [call.split()[0] for call in instance.calls]
    assert (
        words.index("loadprobe") < words.index("systemctl") < words.index("cfn-signal")
    )
    assert "--exit-code 0 " in instance.signal
    assert "systemctl enable --now loadprobe" in instance.calls
    unit = instance.file("/etc/systemd/system/loadprobe.service")
    assert unit.read_text() == (ROOT / "deploy" / "loadprobe.service").read_text()
    config = instance.file("/etc/loadprobe/loadprobe.toml").read_text()
    assert parse_config(config, where="my.toml").target.password_file is None


def test_what_check_finds_wrong_is_told(instance: Instance) -> None:
    """Nothing is started, and the stack says what `check` said."""
    instance.file("calls.down").touch()
    assert instance.boot() == 2

    assert "--exit-code 2 " in instance.signal
    assert "FAIL  dns  nobody" in "\n".join(instance.calls)
    assert not any(call.startswith("systemctl") for call in instance.calls)


def test_another_bundle_is_not_installed(instance: Instance) -> None:
    """A bundle with another digest than the parameter's is not even unpacked."""
    assert instance.boot(BundleDigest="0" * 64) != 0

    assert "--exit-code 1 " in instance.signal
    assert not any(call.startswith("pip") for call in instance.calls)
    assert not instance.file("/opt/bundle/loadprobe.service").exists()


def test_a_password_is_for_root_alone(instance: Instance) -> None:
    """It is in one file that root reads, and the service gets it as a credential."""
    assert instance.boot(PasswordSecret=SECRET, UserName="prober") == 0

    kept = instance.file("/etc/loadprobe/password")
    assert kept.read_text() == "s3cret\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    text = instance.file("/etc/loadprobe/loadprobe.toml").read_text()
    target = parse_config(text, where="my.toml").target
    assert target.username == "prober"
    assert target.password_file == "/run/credentials/loadprobe.service/password"
    more = instance.file("/etc/systemd/system/loadprobe.service.d/aws.conf").read_text()
    assert f"LoadCredential=password:{kept}" in more
    assert f"password file: {kept}" in instance.calls
    for path in instance.folder.rglob("*"):
        if path.is_file() and path != kept and path.parent.name != "programs":
            assert b"s3cret" not in path.read_bytes(), path


def test_a_bundle_is_the_same_each_time(tmp_path: Path) -> None:
    """Its digest depends on what is in it alone, and the unit is that of the tree."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("b-1-py3-none-any.whl", "a-1-py3-none-any.whl"):
        (wheels / name).write_text(name)
    first = make_bundle(wheels, tmp_path / "first.tar.gz")
    for path in wheels.iterdir():
        os.utime(path, (0, 0))
    second = make_bundle(wheels, tmp_path / "second.tar.gz")

    assert first == second
    with tarfile.open(tmp_path / "first.tar.gz") as archive:
        assert archive.getnames() == [
            "a-1-py3-none-any.whl",
            "b-1-py3-none-any.whl",
            "loadprobe.service",
            "requirements.lock",
        ]
        unit = archive.extractfile("loadprobe.service")
        assert unit is not None
        assert unit.read() == (ROOT / "deploy" / "loadprobe.service").read_bytes()


def test_a_function_is_the_same_each_time(tmp_path: Path) -> None:
    """The handler stands where Lambda looks for it, beside what it imports."""
    package = tmp_path / "packages" / "loadprobe"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__pycache__" / "__init__.pyc").touch()
    first = make_function(tmp_path / "packages", tmp_path / "first.zip")
    os.utime(package / "__init__.py", (0, 0))
    second = make_function(tmp_path / "packages", tmp_path / "second.zip")

    assert first == second
    with zipfile.ZipFile(tmp_path / "first.zip") as archive:
        assert archive.namelist() == ["handler.py", "loadprobe/__init__.py"]
        handler = ROOT / "deploy" / "lambda" / "handler.py"
        assert archive.read("handler.py") == handler.read_bytes()
        assert all(info.external_attr >> 16 == 0o644 for info in archive.infolist())
