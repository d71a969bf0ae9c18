"""A configuration that is written for an endpoint."""

from dataclasses import replace

import msgspec
import pytest

from loadprobe.config.file import describe_key, parse_config
from loadprobe.config.keys import Config, Lane, Slo, Target
from loadprobe.config.template import PASSWORD_ENV, Found, write_config

FOUND = Found(
    host="cache.example",
    port=7000,
    addresses="10.0.0.1, 10.0.0.2",
    transports=(False,),
    is_cluster=True,
    shards=3,
)


def written(found: Found) -> Config:
    """Return what is written, read again."""
    return parse_config(write_config(found, by="loadprobe init h"), where="run.toml")


@pytest.mark.parametrize(
    ("found", "target"),
    [
        (FOUND, Target("cache.example", 7000)),
        (replace(FOUND, is_cluster=None), Target("cache.example", 7000)),
        (
            replace(FOUND, is_cluster=False),
            Target("cache.example", 7000, cluster=False),
        ),
        (
            replace(FOUND, wants_login=True),
            Target("cache.example", 7000, password_env=PASSWORD_ENV),
        ),
        (
            replace(FOUND, username="ann", password_file='a "b"\\c'),
            Target("cache.example", 7000, username="ann", password_file='a "b"\\c'),
        ),
        (
            replace(FOUND, password_env="P", ca_file="c.pem", transports=(True,)),
            Target("cache.example", 7000, password_env="P", ca_file="c.pem"),
        ),
    ],
)
def test_what_is_written_is_what_was_found(found: Found, target: Target) -> None:
    """It is read as any file of a user; nothing else of the target is set."""
    assert written(found).target == target


def test_its_values_are_the_defaults() -> None:
    """What is written for a lane is what a lane has anyway, so it can be left out."""
    config = written(replace(FOUND, transports=(False, True)))
    assert config.lanes == (Lane("tcp"), Lane("tls", tls=True))
    plain = Config(target=config.target, lanes=config.lanes)
    assert config == plain


def test_what_is_commented_out_can_be_used() -> None:
    """Without their marks the examples are keys, too."""
    text = write_config(FOUND, by="loadprobe init h")
    head, _, rest = text.partition("# [slo]")
    lines = [line.removeprefix("# ") for line in f"# [slo]{rest}".splitlines()]
    config = parse_config(head + "\n".join(lines), where="run.toml")
    assert config.slo == Slo(1000.0, 0.999, 10.0, 0)
    assert config.control is not None
    assert config.control.replication_group == "my-cluster"


def test_it_is_explained() -> None:
    """Every line that holds something found, or is not plain by its name, says why."""
    text = write_config(FOUND, by="loadprobe init cache.example:7000")
    assert text.startswith("# Made by `loadprobe init cache.example:7000`.\n")
    assert "# 10.0.0.1, 10.0.0.2\n" in text
    for key in msgspec.structs.asdict(Lane("tcp")):
        if f"\n{key} = " in text:
            assert describe_key("lanes", key) is not None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (FOUND, "plaintext; cluster mode, 3 shards; no login needed"),
        (replace(FOUND, shards=1), "plaintext; cluster mode, 1 shard; no login needed"),
        (
            replace(FOUND, is_cluster=None, wants_login=True, transports=(False, True)),
            "plaintext and TLS; cluster mode not known; wants a login",
        ),
        (
            replace(FOUND, is_cluster=False, password_env="P", transports=(True,)),
            "TLS; without cluster mode; login taken",
        ),
    ],
)
def test_words(found: Found, words: str) -> None:
    """What was found is told in one line."""
    assert found.words == f"cache.example:7000: {words}"
