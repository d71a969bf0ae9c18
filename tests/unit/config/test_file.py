"""The file: what is accepted, what is refused and how."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.config.file import load_config
from loadprobe.errors import ConfigError
from tests.support.configurations import FIELD_IDS, FIELDS, SMALLEST, with_environment
from tests.support.paths import ROOT

BAD_FILES = sorted((ROOT / "tests" / "config").glob("*.toml"))


def test_the_smallest_file() -> None:
    """Host and lane name are enough; the contract's defaults hold."""
    config = with_environment()
    (lane,) = config.lanes
    assert (config.target.port, config.target.cluster) == (6379, True)
    assert (lane.loop, lane.deadline_ms, lane.read_ratio) == ("open", 250, 0.8)
    assert config.http.address == ("127.0.0.1", 9121)


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_bad_files(path: Path) -> None:
    """Every bad file is refused with the message in its first line."""
    expected = path.read_text().partition("\n")[0].removeprefix("# ")
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert str(caught.value) == f"{path}: {expected}"
    assert caught.value.exit_code == 2
    assert "hunter2" not in str(caught.value)


def wrong(section: str, key: str) -> str:
    """Return a file in which one key has a value that no key takes."""
    target, lane = SMALLEST.split("\n\n")
    line = f"{key} = [true]"
    match section, key:
        case "", "target":
            return f"{line}\n{lane}"
        case "", "lanes":
            return f"{line}\n{target}"
        case "webhooks", _:
            return f"{SMALLEST}[[webhooks]]\n{line}\n"
        case "", _:
            return f"{line}\n{SMALLEST}"
        case "target", _:
            target = target if key != "host" else "[target]"
            return f"{target}\n{line}\n{lane}"
        case "lanes", _:
            lane = lane if key != "name" else "[[lanes]]\n"
            return f"{target}\n{lane}{line}\n"
        case _:
            return f"{SMALLEST}[{section}]\n{line}\n"


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=FIELD_IDS)
def test_every_key_refuses_a_wrong_type(
    section: str, field: msgspec.structs.FieldInfo
) -> None:
    """A value of a type no key has is refused with the key's path."""
    at = {
        "": "",
        "lanes": "lanes[0].",
        "lanes.client": "lanes[0].client.",
        "webhooks": "webhooks[0].",
    }.get(section, f"{section}.")
    with pytest.raises(ConfigError) as caught:
        with_environment(wrong(section, field.name))
    message = str(caught.value)
    assert message.startswith(f"run.toml: {at}{field.name}")
    assert "is not usable; expected" in message


@pytest.mark.parametrize("number", ["1" * 5000, "[" * 2000 + "]" * 2000])
def test_values_that_the_parser_cannot_hold(number: str) -> None:
    """A number of thousands of digits or an absurd nesting is no crash."""
    with pytest.raises(ConfigError, match="run.toml: not valid TOML: a number of"):
        with_environment(f"{SMALLEST}keys = {number}\n")


def test_unreadable_files(tmp_path: Path) -> None:
    """A path that is no text file is refused by name."""
    missing = str(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="cannot read it: No such file"):
        load_config(missing)
    with pytest.raises(ConfigError, match="cannot read it: Is a directory"):
        load_config(str(tmp_path))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_config(str(binary))
    with pytest.raises(ConfigError):
        load_config("a\0b")
