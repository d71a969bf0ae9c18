"""A configuration that is read again: all of it, or nothing, and both are said."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from loadprobe.config.changes import ChangedKeys
from loadprobe.config.file import parse_config
from loadprobe.config.keys import Config
from loadprobe.core.events import ConfigReloaded, Event, ReloadRefused
from loadprobe.errors import ConfigError
from loadprobe.run.credentials import HeldSecrets
from loadprobe.run.reloading import Reloading

SECRET = "hunter2-is-no-secret"
TEXT = """
[target]
host = "127.0.0.1"
port = 1
password_file = "{folder}/password"

[[lanes]]
name = "tcp"
rate_per_s = 100
"""
SUCCESS = "config_last_reload_successful"
STAMP = "config_last_reload_success_timestamp_seconds"


class Stage:
    """A run whose configuration is a text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "password").write_text(SECRET)
        self.text = TEXT.format(folder=folder)
        self.swapped: list[tuple[Config, Sequence[str]]] = []
        self.events: list[Event] = []
        self.gauges: dict[str, float] = {}
        self.held = HeldSecrets(SECRET, {})
        self.reloading = Reloading(
            self.read(),
            self.read,
            self.swap,
            emit=self.events.append,
            metrics=self,
            held=lambda: self.held,
        )

    def read(self) -> Config:
        """Read the configuration."""
        return parse_config(self.text, where="run.toml")

    async def swap(self, config: Config, what: ChangedKeys, held: HeldSecrets) -> None:
        """Take a configuration."""
        self.swapped.append((config, what.swapped))
        self.held = held

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Take a figure."""
        assert labels == ()
        self.gauges[metric] = value

    async def change(self, old: str, new: str) -> str:
        """Change the text and have it read; return what is said."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        return (await self.reloading.reload(by="alice")).text


async def test_what_has_changed_is_swapped_and_said(tmp_path: Path) -> None:
    """Keys are named, once; the next time there is nothing to do."""
    stage = Stage(tmp_path)
    assert stage.gauges[SUCCESS] == 1.0
    begun = stage.gauges[STAMP]
    assert begun > 1_700_000_000
    assert await stage.change("= 100", "= 50") == "changed: lanes.tcp.rate_per_s"
    assert await stage.change("= 50", "= 50") == "nothing has changed"
    assert [what for _, what in stage.swapped] == [("lanes.tcp.rate_per_s",), ()]
    told = [event for event in stage.events if isinstance(event, ConfigReloaded)]
    assert [(event.changed, event.by) for event in told] == [
        (("lanes.tcp.rate_per_s",), "alice"),
        ((), "alice"),
    ]
    assert stage.gauges[STAMP] >= begun


BAD = [
    ("rate_per_s", "rate", "unknown key; did you mean 'rate_per_s'?"),
    ("[target]", "[target", "not valid TOML"),
    ('password"', 'absent"', "cannot read"),
    ("port = 1", "port = 2", "target.port: cannot change while a run lasts"),
    ("[[lanes]]", '[[lanes]]\nname = "b"\n[[lanes]]', "lanes.b: cannot change"),
    (
        "[[lanes]]",
        '[[webhooks]]\nname = "w"\nkind = "json"\nurl_env = "LP_ABSENT"\n[[lanes]]',
        "'LP_ABSENT' is not set",
    ),
]


@pytest.mark.parametrize(("old", "new", "why"), BAD)
async def test_a_bad_one_changes_nothing(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    """It is said why; a good change beside it waits for the rest to be put right."""
    stage = Stage(tmp_path)
    good = stage.text
    stamp = stage.gauges[STAMP]
    stage.text = stage.text.replace("= 100", "= 50")
    said = await stage.change(old, new)
    assert why in said
    assert SECRET not in said
    assert stage.swapped == []
    (told,) = stage.events
    assert isinstance(told, ReloadRefused)
    assert (told.reason, told.by) == (said, "alice")
    assert (stage.gauges[SUCCESS], stage.gauges[STAMP]) == (0.0, stamp)
    stage.text = good.replace("= 100", "= 50")
    assert (await stage.reloading.reload(by="alice")).is_done
    assert stage.gauges[SUCCESS] == 1.0


async def test_without_a_file(tmp_path: Path) -> None:
    """A run that was not started with a file has nothing to read again."""
    stage = Stage(tmp_path)
    reloading = Reloading(
        stage.read(),
        None,
        stage.swap,
        emit=stage.events.append,
        metrics=stage,
        held=lambda: stage.held,
    )
    done = await reloading.reload(by="signal")
    assert not done.is_done
    assert "no configuration file" in done.text


async def test_a_password_that_nobody_can_check_now(tmp_path: Path) -> None:
    """While the target cannot be reached a new password is taken as it is."""
    stage = Stage(tmp_path)
    (tmp_path / "password").write_text("another")
    assert (await stage.reloading.reload(by="signal")).is_done
    assert stage.held.password == "another"


async def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """A file that cannot be read is a bad configuration like any other."""
    stage = Stage(tmp_path)

    def fail() -> Config:
        raise ConfigError("run.toml", "cannot read it")

    stage.reloading._reread = fail
    done = await stage.reloading.reload(by="signal")
    assert (done.is_done, done.text) == (False, "run.toml: cannot read it")
    assert msgspec.structs.asdict(stage.events[0])["by"] == "signal"
