"""Credentials of a run: what is read again, what changes nothing, what is told."""

import os
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Target
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.config.webhooks import Webhook
from loadprobe.core.events import (
    CredentialsChanged,
    Event,
    LoginsRenewed,
    RunProblem,
)
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.certificates import CertificateSet, write_certificates
from loadprobe.outputs.remote_write.login import check_login
from loadprobe.outputs.webhooks.reach import prepare_receiver
from loadprobe.probe.messages import (
    CertificatesRefused,
    LoginRenewed,
)
from loadprobe.run.credentials import CredentialWatch, read_credentials

S = 1_000_000_000


class Stage:
    """A watch, who uses its credentials, what it tells, and its clock."""

    def __init__(self, target: Target, *, tls: bool = False) -> None:
        self.told: list[Any] = []
        self.events: list[Event] = []
        self.now_ns = S
        self.watch = CredentialWatch(
            target, self, self.events.append, tls=tls, now_ns=lambda: self.now_ns
        )

    def use_login(
        self,
        username: str | None,
        password: str | None,
        *,
        renew_s: float | None = None,
    ) -> None:
        """Take a login."""
        self.told.append((username, password, renew_s))

    def use_certificates(self, target: Target) -> None:
        """Take certificates."""
        self.told.append(target)


def write(path: Path, text: str) -> None:
    """Replace a file as agents do: by another one that is complete."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a password file."""
    path = tmp_path / "password"
    path.write_text("first\n")
    return path


async def test_a_password_file_that_is_replaced(secret: Path) -> None:
    """It is told once, with its user, and connections log in anew; never its value."""
    stage = Stage(Target(host="h", username="app", password_file=str(secret)))
    await stage.watch.look()
    assert stage.told == []
    write(secret, "second\n")
    for _ in range(2):
        await stage.watch.look()
    assert stage.told == [("app", "second", 0.0)]
    assert stage.events == [CredentialsChanged(S, ("password",), "file")]
    assert "second" not in repr(stage.watch._held)


async def test_a_link_that_points_elsewhere(tmp_path: Path) -> None:
    """A secret of Kubernetes is a link into a folder that is a link: it is followed."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "password").write_text(f"of-{name}\n")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "password").symlink_to("..data/password")
    stage = Stage(Target(host="h", password_file=str(tmp_path / "password")))
    (tmp_path / "..fresh").symlink_to("two")
    (tmp_path / "..fresh").replace(tmp_path / "..data")
    await stage.watch.look()
    assert stage.told == [(None, "of-two", 0.0)]


async def test_a_file_that_was_only_touched(secret: Path) -> None:
    """The same password again is no change."""
    stage = Stage(Target(host="h", password_file=str(secret)))
    write(secret, "first\n")
    await stage.watch.look()
    assert (stage.told, stage.events) == ([], [])


async def test_a_file_that_is_half_written(secret: Path) -> None:
    """An empty or absent file changes nothing; it is told if it stays so, and once."""
    stage = Stage(Target(host="h", password_file=str(secret)))
    secret.write_text("")
    await stage.watch.look()
    assert stage.events == []
    for _ in range(3):
        await stage.watch.look()
    (told,) = stage.events
    assert isinstance(told, RunProblem)
    assert "is empty" in told.text
    assert "stays in force" in told.text
    secret.unlink()
    await stage.watch.look()
    write(secret, "second\n")
    await stage.watch.look()
    assert stage.watch.problem is None
    assert stage.told == [(None, "second", 0.0)]


async def test_a_file_that_comes_back_as_it_was(secret: Path) -> None:
    """A volume that was away for a while: nothing has changed, and nothing is wrong."""
    stage = Stage(Target(host="h", password_file=str(secret)))
    secret.rename(secret.with_suffix(".away"))
    for _ in range(2):
        await stage.watch.look()
    assert stage.watch.problem is not None
    secret.with_suffix(".away").rename(secret)
    await stage.watch.look()
    assert stage.watch.problem is None
    assert stage.told == []
    # What is wrong later is looked at twice again before it is told.
    write(secret, "")
    await stage.watch.look()
    assert stage.watch.problem is None


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateSet:
    """Return an authority, and certificates it signed."""
    return write_certificates(tmp_path_factory.mktemp("certificates"))


async def test_certificates_that_are_replaced(
    certificates: CertificateSet, tmp_path: Path
) -> None:
    """They are read when they fit together, not before."""
    paths = {name: tmp_path / name for name in ("ca", "cert", "key")}
    pairs = certificates.server, certificates.client
    paths["ca"].write_text(certificates.ca.read_text())
    paths["cert"].write_text(pairs[0].certificate.read_text())
    paths["key"].write_text(pairs[0].key.read_text())
    target = Target(
        host="h",
        ca_file=str(paths["ca"]),
        cert_file=str(paths["cert"]),
        key_file=str(paths["key"]),
    )
    stage = Stage(target, tls=True)
    write(paths["cert"], pairs[1].certificate.read_text())
    await stage.watch.look()
    assert stage.told == []  # the key is still that of the other one
    write(paths["key"], pairs[1].key.read_text())
    await stage.watch.look()
    assert stage.told == [target]
    assert stage.events == [CredentialsChanged(S, ("cert_file", "key_file"), "file")]
    stage.watch.heard(CertificatesRefused(0, "cannot be used"))
    assert stage.watch.problem == ("credentials: probe process 0: cannot be used")
    await stage.watch.look()
    assert stage.told == [target, target]


async def test_a_login_that_is_refused(secret: Path) -> None:
    """It is told once, and tried again at growing distances until it is taken."""
    stage = Stage(Target(host="h", password_file=str(secret)))
    write(secret, "too-early\n")
    await stage.watch.look()
    refused = LoginRenewed(0, "tcp", 0, 3, "WRONGPASS invalid username-password pair")
    tries: list[int] = []
    for second in range(40):
        stage.now_ns = second * S
        await stage.watch.look()
        if len(stage.told) > len(tries):
            tries.append(second)
            stage.watch.heard(refused)
    assert tries == [0, 5, 15, 35]
    stage.watch.heard(LoginRenewed(0, "tcp", 3, 0, ""))
    renewed = [event for event in stage.events if isinstance(event, LoginsRenewed)]
    assert [(event.renewed, event.refused) for event in renewed] == [(0, 3), (3, 0)]


async def test_lanes_that_went_over_have_other_references(
    secret: Path, tmp_path: Path
) -> None:
    """The source's password never comes to the target, whose own is looked after."""
    there = tmp_path / "password-there"
    there.write_text("of-the-target\n")
    stage = Stage(Target(host="h", password_file=str(secret)))
    await stage.watch.follow(Target(host="t", password_file=str(there)))
    write(secret, "second of the source\n")
    await stage.watch.look()
    assert stage.told == []
    assert stage.events == []
    write(there, "second-of-the-target\n")
    await stage.watch.look()
    assert stage.told == [(None, "second-of-the-target", 0.0)]


async def test_a_target_without_a_password(secret: Path) -> None:
    """Nothing is sent to it, whatever the source's file holds later."""
    stage = Stage(Target(host="h", password_file=str(secret)))
    await stage.watch.follow(Target(host="t"))
    write(secret, "second of the source\n")
    await stage.watch.look()
    assert stage.told == []


async def test_a_reload_after_a_cut_over(secret: Path, tmp_path: Path) -> None:
    """The references of where the lanes are count, not those of the source."""
    source = Target(host="h", username="app", password_file=str(secret))
    stage = Stage(source)
    assert stage.watch.in_force(source) is source
    there = tmp_path / "there"
    there.write_text("of-the-target\n")
    await stage.watch.follow(Target(host="t", password_file=str(there)))
    secret.unlink()
    target = stage.watch.in_force(source)
    assert (target.host, target.username) == ("t", None)
    await stage.watch.change(target, read_credentials(target, tls=False))
    assert stage.told == [], "nothing of it has changed"
    write(there, "another\n")
    await stage.watch.change(target, read_credentials(target, tls=False))
    assert stage.told == [(None, "another", 0.0)]


def certificate_files(folder: Path, pipe: str) -> dict[str, Any]:
    """Return a certificate and its key, of which one file, or a CA's, is a pipe."""
    made = write_certificates(folder).client
    os.mkfifo(folder / "pipe")
    files = {"cert_file": str(made.certificate), "key_file": str(made.key)}
    return files | {pipe: str(folder / "pipe")}


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_certificate_file_that_is_a_pipe(tmp_path: Path, key: str) -> None:
    """It is refused: OpenSSL would open it, and wait until somebody writes."""
    files = certificate_files(tmp_path, key)
    with pytest.raises(PreflightError, match=f"{key} .*: it is no regular file"):
        read_credentials(Target("h", **files), tls=True)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_certificate_file_of_a_receiver_that_is_a_pipe(
    tmp_path: Path, key: str
) -> None:
    """They are refused likewise, by the key that names them."""
    url, files = "https://h/", certificate_files(tmp_path, key)
    with pytest.raises(PreflightError, match=f"{key} .*: .*it is no regular file"):
        check_login(RemoteWrite(url=url, **files))
    if key == "ca_file":
        webhook = Webhook(name="hook", kind="json", url=url, ca_file=files[key])
        with pytest.raises(PreflightError, match="hook.ca_file .*: .*no regular file"):
            prepare_receiver(webhook)
