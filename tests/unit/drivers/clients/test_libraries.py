"""coredis and valkey-glide: their settings and tables; their behaviour: integration."""

import inspect
import ssl
from typing import Any

import coredis
import glide
import pytest
from coredis import exceptions

from loadprobe.config import client as client_keys
from loadprobe.config.client import PACKAGES, check_client
from loadprobe.config.keys import Client, Lane, Target
from loadprobe.core.judging.outcome import Outcome
from loadprobe.drivers.clients.coredis.errors import classify as classify_coredis
from loadprobe.drivers.clients.coredis.library import make_arguments
from loadprobe.drivers.clients.glide.errors import classify as classify_glide
from loadprobe.drivers.clients.glide.library import make_configuration
from loadprobe.drivers.clients.library.base import Login
from loadprobe.errors import ConfigError

REFUSED, UNKNOWN, UNSENT = Outcome.REFUSED, Outcome.UNKNOWN, Outcome.UNSENT
NOBODY = Login(None, None)
TARGET = Target("h", port=1)


def behind(cause: BaseException, made: Exception) -> Exception:
    """Return an exception with a cause."""
    made.__cause__ = cause
    return made


UNABLE = "Unable to establish a connection to h:1"


@pytest.mark.parametrize(
    ("exc", "end"),
    [
        (exceptions.ClusterDownError("down"), (REFUSED, "clusterdown")),
        (exceptions.MovedError("1 h:1"), (REFUSED, "moved")),
        (exceptions.AskError("1 h:1"), (REFUSED, "ask")),
        (exceptions.TryAgainError("later"), (REFUSED, "tryagain")),
        (exceptions.ReadOnlyError("a replica"), (REFUSED, "readonly")),
        (exceptions.BusyLoadingError("loading"), (REFUSED, "loading")),
        (exceptions.AuthenticationFailureError("no"), (REFUSED, "auth")),
        (exceptions.AuthorizationError("no"), (REFUSED, "auth")),
        (exceptions.ResponseError("OOM full"), (REFUSED, "oom")),
        (exceptions.ClusterError("Maximum retries exhausted."), (REFUSED, "moved")),
        (exceptions.ConnectionError("Connection lost!"), (UNKNOWN, "reset")),
        (TimeoutError("GET timed out"), (UNKNOWN, "timeout")),
        (
            behind(ConnectionRefusedError(), exceptions.ConnectionError(UNABLE)),
            (UNSENT, "connect_refused"),
        ),
        (
            behind(
                behind(
                    ExceptionGroup("all", [ConnectionRefusedError()]),
                    OSError("All connection attempts failed"),
                ),
                exceptions.ConnectionError(UNABLE),
            ),
            (UNSENT, "connect_refused"),
        ),
        (
            behind(ssl.SSLError(1, "bad"), exceptions.ConnectionError(UNABLE)),
            (UNSENT, "tls"),
        ),
        (exceptions.RedisClusterError("Not all slots"), (UNSENT, "unreachable")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_table_of_coredis(exc: Exception, end: tuple[Outcome, str]) -> None:
    """Every exception of coredis that an operation can end with has a row."""
    outcome, error = classify_coredis(exc)
    assert (outcome, error.label) == end


SIGNALLED = "An error was signalled by the server: - "


@pytest.mark.parametrize(
    ("exc", "end"),
    [
        (glide.TimeoutError("timed out"), (UNKNOWN, "timeout")),
        (glide.ConnectionError("broken pipe"), (UNKNOWN, "reset")),
        (glide.RequestError(SIGNALLED + "Moved: 1 h:1"), (REFUSED, "moved")),
        (glide.RequestError(SIGNALLED + "ClusterDown: no"), (REFUSED, "clusterdown")),
        (glide.RequestError(SIGNALLED + "Strange: no"), (REFUSED, "other")),
        (glide.RequestError("Connection in recovery- x"), (UNSENT, "unreachable")),
        (glide.RequestError("what the core says"), (UNKNOWN, "other")),
        (
            glide.ClosingError("errors: `Connection refused (os error 111)`"),
            (UNSENT, "connect_refused"),
        ),
        (glide.ClosingError("errors: `WRONGPASS: no`"), (UNSENT, "auth")),
    ],
    ids=repr,
)
def test_the_table_of_valkey_glide(exc: Exception, end: tuple[Outcome, str]) -> None:
    """Every exception of valkey-glide has a row; its core's words are open."""
    outcome, error = classify_glide(exc)
    assert (outcome, error.label) == end


@pytest.mark.parametrize("classify", [classify_coredis, classify_glide])
def test_what_is_in_no_table_ends_the_run(classify: Any) -> None:
    """A defect of ours never counts as a failure."""
    for exc in (ValueError("ours"), KeyError(7), AttributeError("ours")):
        with pytest.raises(type(exc)) as caught:
            classify(exc)
        assert caught.value is exc


def test_what_coredis_is_told() -> None:
    """What is not set is not passed on; what is set is an argument of the library."""
    assert make_arguments(TARGET, Client(), NOBODY, tls=False) == {
        "host": "h",
        "port": 1,
    }
    client = Client(
        retries=1,
        retry_delay_ms=5,
        socket_timeout_ms=250,
        pool_timeout_ms=100,
        max_connections=9,
        max_connections_per_node=True,
        require_full_coverage=False,
        reinitialize_steps=3,
        dynamic_startup_nodes=False,
        read_from="random-replica",
    )
    given = make_arguments(TARGET, client, Login("u", "p"), tls=True)
    parameters = inspect.signature(coredis.RedisCluster.__init__).parameters
    assert given.keys() <= parameters.keys()
    assert given["stream_timeout"] == 0.25
    assert given["skip_full_coverage_check"] is True
    assert given["nodemanager_follow_cluster"] is False
    assert given["read_from_replicas"] is True


def test_what_valkey_glide_is_told() -> None:
    """Its configuration has what is set, and the library's defaults beside it."""
    plain = glide.GlideClusterClientConfiguration([glide.NodeAddress("h", 1)])
    given = make_configuration(TARGET, Client(), NOBODY, tls=False)
    for key in ("request_timeout", "inflight_requests_limit", "read_from"):
        assert getattr(given, key) == getattr(plain, key)
    client = Client(
        request_timeout_ms=70,
        socket_connect_timeout_ms=80,
        inflight_requests_limit=9,
        read_from="prefer-replica",
    )
    given = make_configuration(TARGET, client, Login("u", "p"), tls=False)
    assert given.request_timeout == 70
    assert given.advanced_config.connection_timeout == 80
    assert given.inflight_requests_limit == 9
    assert given.read_from is glide.ReadFrom.PREFER_REPLICA
    assert given.credentials.username == "u"


@pytest.mark.parametrize(
    ("driver", "keys", "cluster", "problem"),
    [
        ("valkey-glide", {"retries": 1}, True, "valkey-glide has no such setting"),
        ("redis-py", {"connect_retries": 1}, True, "redis-py has no such setting"),
        ("coredis", {"backoff": "none"}, True, "coredis has no such setting"),
        ("valkey-py", {"connect_retries": 1}, False, "only clients of a cluster"),
        ("valkey-py", {"read_from": "random"}, True, 'cannot read from "random"'),
    ],
)
def test_what_a_library_cannot_be_told_is_refused(
    driver: Any, keys: dict[str, Any], cluster: bool, problem: str
) -> None:
    """A setting of another library is not ignored."""
    lane = Lane(name="app", driver=driver, client=Client(**keys))
    with pytest.raises(ConfigError, match=problem):
        check_client(lane, Target("h", cluster=cluster), "lanes[0]")


@pytest.mark.parametrize("driver", list(PACKAGES))
def test_a_library_that_is_missing(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told what to install."""
    monkeypatch.setattr(client_keys, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"pip install 'loadprobe\[{driver}\]'"):
        check_client(Lane(name="app", driver=driver), TARGET, "lanes[0]")
