"""Whatever a reload is asked for, all of it is in force, or none: then it says why."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.config.changes import changes
from loadprobe.config.file import load_config
from loadprobe.core.events import ConfigReloaded, ReloadRefused
from loadprobe.errors import ConfigError
from loadprobe.run.reloading import Reloading
from tests.fuzz import examples
from tests.fuzz.test_settings import KEYS, LINES, VALUES
from tests.support.reloaded import SECRET, SUCCESS, TEXT, ReloadStage

MOST_SAID = 10_000
"""What is said of a reload is no longer than a few times its file."""

PATHS = st.sampled_from(
    ["password", "other", "empty", "binary", "absent", ".", "/dev/zero", "/dev/null"]
)
EDITS = st.one_of(
    st.tuples(st.just("add"), LINES),
    st.tuples(st.just("rate_per_s = 100"), st.builds("rate_per_s = {}".format, VALUES)),
    st.tuples(st.just("rate_per_s = 100"), st.builds("{} = {}".format, KEYS, VALUES)),
    st.tuples(
        st.just("rate_per_s = 100"),
        st.builds(
            "rate_per_s = {}\ndeadline_ms = {}".format,
            st.integers(1, 200),
            st.integers(0, 70_000),
        ),
    ),
    st.tuples(
        st.just("[[lanes]]"),
        st.builds(
            '[probe]\nstall_ms = {}\n[[lanes]]\nname = "{}"\n[[lanes]]'.format,
            st.integers(1, 30),
            st.sampled_from(["b", "tcp", "no name"]),
        ),
    ),
    st.tuples(
        st.just('name = "tcp"'),
        st.builds(
            'name = "tcp"\nworkers = {}\ntls = {}'.format,
            st.integers(0, 300),
            st.sampled_from(["true", "false"]),
        ),
    ),
    st.tuples(st.just("/password"), PATHS.map(lambda name: f"/{name}")),
    st.tuples(st.just('"{folder}/password"'), PATHS.map(lambda name: f'"{name}"')),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what a configuration may refer to."""
    path = tmp_path_factory.mktemp("reloads")
    (path / "other").write_text("another-secret\n")
    (path / "empty").write_text("")
    (path / "binary").write_bytes(bytes(range(256)))
    return path


@examples(30)
@given(st.lists(EDITS, min_size=1, max_size=5), st.binary(max_size=8))
def test_any_reload(folder: Path, edits: list[tuple[str, str]], noise: bytes) -> None:
    """Never is a part of it in force, nothing is raised, and no secret is said."""
    text = TEXT
    for old, new in edits:
        text = f"{text}\n{new}" if old == "add" else text.replace(old, new)
    asyncio.run(_reload(folder, text.replace("{folder}", str(folder)), noise))


async def _reload(folder: Path, text: str, noise: bytes) -> None:
    stage = ReloadStage(folder)
    before = stage.read()
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        reloading = Reloading(
            before,
            lambda: load_config(name),
            stage.swap,
            go_over=stage.go_over,
            emit=stage.events.append,
            metrics=stage,
            credentials=stage,
        )
        os.write(descriptor, text.encode("utf-8", "surrogatepass") + noise)
        done = await reloading.reload(by="somebody")
    finally:
        os.close(descriptor)
        os.unlink(name)  # noqa: PTH108 - it is by name that it was made
    (event,) = stage.events
    assert len(done.text) <= MOST_SAID
    assert SECRET not in done.text
    assert "another-secret" not in done.text
    assert stage.gauges[SUCCESS] == float(done.is_done)
    if not done.is_done:
        assert isinstance(event, ReloadRefused)
        assert stage.swapped == stage.gone_over == []
        return
    assert isinstance(event, ConfigReloaded)
    assert len(stage.swapped) + len(stage.gone_over) == 1
    ((config, keys),) = (*stage.swapped, *stage.gone_over)
    found = changes(before, config)
    assert not found.fixed
    assert (found.changed, found.anew) == (event.changed, event.anew)
    # What needs a segment takes all the rest with it.
    assert keys == (found.anew or found.swapped)
    assert bool(stage.gone_over) == bool(found.anew)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    """A reload that was asked for by mistake holds up neither the run nor the next."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not valid|target|lanes|empty"):
        load_config(str(tmp_path / "pipe"))
    with pytest.raises(ConfigError, match="it is longer than 4194304 bytes"):
        load_config("/dev/zero")


def test_a_pipe_that_somebody_holds_open_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has it open may never write."""
    monkeypatch.setattr("loadprobe.config.bounded_file._PATIENCE_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    held = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        with pytest.raises(ConfigError, match="nobody writes into it"):
            load_config(str(tmp_path / "pipe"))
    finally:
        os.close(held)
