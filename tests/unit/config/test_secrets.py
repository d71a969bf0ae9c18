"""Passwords: read by reference, and never kept or shown."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.config.keys import Target, to_plain
from loadprobe.errors import ConfigError
from tests.support.configurations import SMALLEST, with_environment


def target_of(**keys: str) -> Target:
    """Return a target with some keys set."""
    return msgspec.structs.replace(Target("db.example.com"), **keys)


def test_password_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is the first line of the file, or the variable, as it is."""
    file = tmp_path / "password"
    file.write_text(" hünter2 \nsecond\n", encoding="utf-8")
    assert target_of(password_file=str(file)).read_password() == " hünter2 "
    monkeypatch.setenv("CACHE_PASSWORD", "hunter2")
    assert target_of(password_env="CACHE_PASSWORD").read_password() == "hunter2"
    assert target_of().read_password() is None


def test_unusable_password_references(tmp_path: Path) -> None:
    """A reference to nothing is refused with the key, and shows nothing secret."""
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\nsecond\n")
    binary.write_bytes(b"hunter2\xff\n")
    for path, problem in (
        (tmp_path / "none", "No such file or directory; it must be a text file"),
        (tmp_path, "Is a directory"),
        (empty, "is empty; put the password in line 1"),
        (binary, "not UTF-8 text; it must be a text file"),
    ):
        with pytest.raises(ConfigError, match=r"target\.password_file: ") as caught:
            target_of(password_file=str(path)).read_password()
        assert problem in str(caught.value)
        assert "hunter2" not in repr(caught.value.__cause__) + str(caught.value)
    with pytest.raises(ConfigError, match="variable 'NO_SUCH' is not set, or empty"):
        target_of(password_env="NO_SUCH").read_password()


def test_the_kept_configuration_holds_references_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What goes into the run folder names where the secret is, and not the secret."""
    monkeypatch.setenv("CACHE_PASSWORD", "hunter2")
    text = SMALLEST.replace("\n\n", '\npassword_env = "CACHE_PASSWORD"\n\n')
    kept = repr(to_plain(with_environment(text)))
    assert "CACHE_PASSWORD" in kept
    assert "hunter2" not in kept
