"""A configuration that is read again: all of it, or nothing, and both are said."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.config.keys import Config, Target
from loadprobe.core.events import ConfigReloaded, ReloadRefused
from loadprobe.errors import ConfigError, UsageError
from loadprobe.run.reloading import MOST_IDLE, Reloading
from tests.support.reloaded import SECRET, STAMP, SUCCESS, ReloadStage


async def test_what_has_changed_is_swapped_and_said(tmp_path: Path) -> None:
    """Keys are named, once; the next time there is nothing to do."""
    stage = ReloadStage(tmp_path)
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


async def test_the_rest_needs_a_segment(tmp_path: Path) -> None:
    """Nothing is swapped then: all of it comes into force with the segment."""
    stage = ReloadStage(tmp_path)
    stage.text = stage.text.replace("= 100", "= 50")
    said = await stage.change("[[lanes]]", '[[lanes]]\nname = "b"\n[[lanes]]')
    assert said == (
        "changed: lanes.tcp.rate_per_s, lanes.b; a new segment begins for: lanes.b"
    )
    assert stage.swapped == []
    ((config, anew),) = stage.gone_over
    assert ([lane.name for lane in config.lanes], anew) == (["b", "tcp"], ("lanes.b",))
    (told,) = stage.events
    assert isinstance(told, ConfigReloaded)
    assert told.changed == ("lanes.tcp.rate_per_s", "lanes.b")
    assert told.anew == ("lanes.b",)


async def test_what_comes_too_late_is_for_the_next_segment(tmp_path: Path) -> None:
    """What is asked for when all is ready would be forgotten: it is said so."""
    stage = ReloadStage(tmp_path)
    await stage.change("[[lanes]]", '[[lanes]]\nname = "b"\n[[lanes]]')
    said = await stage.change("= 100", "= 50")
    assert said == "a new segment is about to begin: ask again in a second"
    assert stage.swapped == []
    await stage.reloading.settled()


async def test_a_segment_that_cannot_be_prepared(tmp_path: Path) -> None:
    """Then nothing changes, and it is said why; the same is tried the next time."""
    stage = ReloadStage(tmp_path)
    stage.problem = UsageError("nobody is there")
    said = await stage.change("[[lanes]]", '[[lanes]]\nname = "b"\n[[lanes]]')
    assert said == "nobody is there"
    assert (stage.swapped, stage.gone_over, stage.gauges[SUCCESS]) == ([], [], 0.0)
    stage.problem = None
    assert (await stage.reloading.reload(by="alice")).is_done
    assert len(stage.gone_over) == 1


BAD = [
    ("rate_per_s", "rate", "unknown key; did you mean 'rate_per_s'?"),
    ("[target]", "[target", "not valid TOML"),
    ('password"', 'absent"', "cannot read"),
    ("port = 1", "port = 2", "target.port: a run cannot change that"),
    ('name = "tcp"', 'name = "tcp"\ntls = true', "lanes.tcp.tls: a run cannot change"),
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
    stage = ReloadStage(tmp_path)
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
    stage = ReloadStage(tmp_path)
    reloading = Reloading(
        stage.read(),
        None,
        stage.swap,
        go_over=stage.go_over,
        emit=stage.events.append,
        metrics=stage,
        credentials=stage,
    )
    done = await reloading.reload(by="signal")
    assert not done.is_done
    assert "no configuration file" in done.text


async def test_the_journal_takes_so_many_that_changed_nothing(tmp_path: Path) -> None:
    """Whoever may reload cannot fill the disk: the answer is given, and no more."""
    stage = ReloadStage(tmp_path)
    stage.reloading._idle = MOST_IDLE - 2
    for _ in range(2):
        assert (await stage.reloading.reload(by="http")).text == "nothing has changed"
        assert "not valid TOML" in await stage.change("[target]", "[target")
        stage.text = stage.text.replace("[target", "[target]")
    assert [type(event) for event in stage.events] == [ConfigReloaded, ReloadRefused]
    assert stage.gauges[SUCCESS] == 0.0
    assert await stage.change("= 100", "= 50") == "changed: lanes.tcp.rate_per_s"
    told = stage.events[-1]
    assert isinstance(told, ConfigReloaded)
    assert told.changed == ("lanes.tcp.rate_per_s",)


async def test_a_password_that_nobody_can_check_now(tmp_path: Path) -> None:
    """While the target cannot be reached a new password is taken as it is."""
    stage = ReloadStage(tmp_path)
    (tmp_path / "password").write_text("another")
    assert (await stage.reloading.reload(by="signal")).is_done
    assert stage.held.password == "another"


async def test_what_the_source_of_a_migration_refers_to(tmp_path: Path) -> None:
    """After a cut-over its files may be gone; those of the target are read again."""
    stage = ReloadStage(tmp_path)
    there = tmp_path / "password-there"
    there.write_text("of-the-target")
    stage.elsewhere = Target("127.0.0.1", port=1, password_file=str(there))
    (tmp_path / "password").unlink()
    assert await stage.change("= 100", "= 50") == "changed: lanes.tcp.rate_per_s"
    assert stage.held.password == "of-the-target"
    there.unlink()
    assert "target.password_file" in await stage.change("= 50", "= 60")
    assert stage.held.password == "of-the-target"


async def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """A file that cannot be read is a bad configuration like any other."""
    stage = ReloadStage(tmp_path)

    def fail() -> Config:
        raise ConfigError("run.toml", "cannot read it")

    stage.reloading._reread = fail
    done = await stage.reloading.reload(by="signal")
    assert (done.is_done, done.text) == (False, "run.toml: cannot read it")
    assert msgspec.structs.asdict(stage.events[0])["by"] == "signal"
