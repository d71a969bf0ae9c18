"""The redis-py lane's settings and its table of errors; its behaviour: integration."""

import errno
import inspect
import socket
import ssl
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.cluster import NodesManager, RedisCluster
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.cluster import LoadBalancingStrategy

from loadprobe.config.keys import Client, Target
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.clients.library.address import make_remap
from loadprobe.drivers.clients.library.base import Login, end_of
from loadprobe.drivers.clients.redis_py.errors import ErrorTable
from loadprobe.drivers.clients.redis_py.forks import Fork, load_fork
from loadprobe.drivers.clients.redis_py.settings import make_arguments

LOGIN = Login(None, None)
REDIS = load_fork("redis-py")
VALKEY = load_fork("valkey-py")
classify = ErrorTable(REDIS).classify
TARGET = Target("db.example.com", port=6379, tls_port=6380)
REFUSED, UNKNOWN, UNSENT = Outcome.REFUSED, Outcome.UNKNOWN, Outcome.UNSENT


def arguments(target: Target = TARGET, *, tls: bool = False, **keys: Any) -> Any:
    """Return what redis-py is told."""
    return make_arguments(REDIS, target, Client(**keys), LOGIN, tls=tls)


# --- settings -------------------------------------------------------------------------


def test_nothing_is_overridden_by_default() -> None:
    """Without settings redis-py gets the endpoint and the login, and no more."""
    assert arguments() == {
        "host": "db.example.com",
        "port": 6379,
        "credential_provider": LOGIN,
    }
    assert arguments(tls=True) == {
        "host": "db.example.com",
        "port": 6380,
        "credential_provider": LOGIN,
        "ssl": True,
        "ssl_ca_certs": None,
        "ssl_certfile": None,
        "ssl_keyfile": None,
    }


def test_every_setting_is_an_argument_of_the_library() -> None:
    """What can be set is taken by the installed redis-py."""
    given = arguments(
        Target("h", address_map={"a:1": "b:2"}, ca_file="ca.pem"),
        tls=True,
        retries=2,
        backoff="exponential-jitter",
        backoff_base_ms=5,
        backoff_cap_ms=70,
        socket_timeout_ms=250,
        socket_connect_timeout_ms=0,
        socket_keepalive=False,
        max_connections=7,
        health_check_interval_s=3,
        check_hostname=False,
        require_full_coverage=False,
        reinitialize_steps=0,
        dynamic_startup_nodes=False,
        read_from="round-robin-replicas",
    )
    assert given.keys() <= inspect.signature(RedisCluster.__init__).parameters.keys()
    assert (given["socket_timeout"], given["socket_connect_timeout"]) == (0.25, None)
    assert (
        given["load_balancing_strategy"] is LoadBalancingStrategy.ROUND_ROBIN_REPLICAS
    )
    assert given["retry"].get_retries() == 2
    backoff = given["retry"]._backoff
    assert backoff == ExponentialWithJitterBackoff(base=0.005, cap=0.07)
    assert given["reinitialize_steps"] == 0
    single = arguments(
        Target("h", cluster=False, address_map={"h:6379": "[::1]:1"}), retries=0
    )
    assert single.keys() <= inspect.signature(Redis.__init__).parameters.keys()
    assert (single["host"], single["port"]) == ("::1", 1)


def test_retries_alone_keep_the_pause_of_the_library() -> None:
    """The number of tries is one setting, the pause between them another."""
    default = inspect.signature(Redis.__init__).parameters["retry"].default
    retry = arguments(retries=3)["retry"]
    assert retry.get_retries() == 3
    assert retry._backoff == default._backoff
    assert default.get_retries() != 3
    assert isinstance(arguments(retries=3, backoff="none")["retry"]._backoff, NoBackoff)
    assert "load_balancing_strategy" not in arguments(read_from="primary")


@pytest.mark.parametrize("cluster", [True, False])
def test_a_pool_is_large_enough_for_the_workers(cluster: bool) -> None:
    """A lane does not fail for its own size; what is set, or is enough, is left."""
    target = Target("h", cluster=cluster)

    def pool(fork: Fork, users: int, **keys: Any) -> object:
        given = make_arguments(
            fork, target, Client(**keys), LOGIN, tls=False, users=users
        )
        return given.get("max_connections")

    assert pool(REDIS, 50) is None
    assert pool(REDIS, 51) == 102
    assert pool(REDIS, 150, max_connections=7) == 7
    assert pool(VALKEY, 5_000) is None


def test_the_fork_is_told_in_its_own_words() -> None:
    """valkey-py counts two kinds of retries, and knows one way to read elsewhere."""

    def told(target: Target = TARGET, **keys: Any) -> Any:
        return make_arguments(VALKEY, target, Client(**keys), LOGIN, tls=False)

    assert told() == arguments()
    given = told(retries=2, connect_retries=0, read_from="round-robin")
    del given["host"], given["port"], given["credential_provider"]
    assert given == {
        "cluster_error_retry_attempts": 2,
        "connection_error_retry_attempts": 0,
        "read_from_replicas": True,
    }
    parameters = inspect.signature(VALKEY.cluster.__init__).parameters
    assert given.keys() <= parameters.keys()
    single = told(Target("h", cluster=False), retries=2)
    assert single["retry"]._retries == 2
    assert len(single["retry_on_error"]) == 2


def test_a_login_does_not_show_its_password() -> None:
    """Whatever is printed of a login, the password is not part of it."""
    assert "s3cret" not in repr(Login("user", "s3cret"))


def test_logins() -> None:
    """Credentials are those of the moment; there may be none."""
    assert Login(None, None).get_credentials() == ()
    assert Login("user", None).get_credentials() == ()
    assert Login(None, "p").get_credentials() == ("p",)
    assert Login("user", "p").get_credentials() == ("user", "p")


def test_addresses_are_mapped() -> None:
    """An announced address is replaced as the wire driver does it."""
    remap = make_remap(Target("h", address_map={"10.0.0.1:1": "[::1]:7"}))
    assert remap(("10.0.0.1", 1)) == ("::1", 7)
    assert remap(("10.0.0.2", 1)) == ("10.0.0.2", 1)


# --- the table ------------------------------------------------------------------------


def connecting(behind: Exception) -> exceptions.ConnectionError:
    """Return what redis-py makes of an error met while it connects."""
    try:
        try:
            raise behind
        except OSError as exc:
            text = f"Error {exc.errno} connecting to h:1. {exc}."
            raise exceptions.ConnectionError(text)  # noqa: B904 - as redis-py does it
    except exceptions.ConnectionError as made:
        return made


def starting(behind: Exception) -> exceptions.RedisClusterException:
    """Return what redis-py raises when no node tells it the slots."""
    made = exceptions.RedisClusterException("Redis Cluster cannot be connected.")
    made.__cause__ = behind
    return made


@pytest.mark.parametrize(
    ("exc", "end"),
    [
        (exceptions.ClusterDownError("Hash slot not served"), (REFUSED, "clusterdown")),
        (exceptions.MasterDownError("Link is down"), (REFUSED, "masterdown")),
        (exceptions.MovedError("1 h:1"), (REFUSED, "moved")),
        (exceptions.AskError("1 h:1"), (REFUSED, "ask")),
        (exceptions.TryAgainError("later"), (REFUSED, "tryagain")),
        (exceptions.ReadOnlyError("a replica"), (REFUSED, "readonly")),
        (exceptions.BusyLoadingError("loading"), (REFUSED, "loading")),
        (exceptions.AuthenticationError("no"), (REFUSED, "auth")),
        (exceptions.AuthorizationError("no"), (REFUSED, "auth")),
        (exceptions.NoPermissionError("no"), (REFUSED, "auth")),
        (exceptions.OutOfMemoryError("full"), (REFUSED, "oom")),
        (exceptions.ResponseError("MISCONF no disk"), (REFUSED, "misconf")),
        (exceptions.ResponseError("ERR what"), (REFUSED, "other")),
        (exceptions.ClusterError("TTL exhausted."), (REFUSED, "moved")),
        (
            exceptions.ConnectionError("max number of clients reached"),
            (REFUSED, "other"),
        ),
        (exceptions.MaxConnectionsError(), (UNSENT, "inflight")),
        (
            exceptions.TimeoutError("Timeout connecting to server"),
            (UNSENT, "unreachable"),
        ),
        (exceptions.TimeoutError("Timeout reading from h:1"), (UNKNOWN, "timeout")),
        (
            exceptions.ConnectionError("Connection closed by server."),
            (UNKNOWN, "reset"),
        ),
        (
            connecting(ConnectionRefusedError(errno.ECONNREFUSED, "no")),
            (UNSENT, "connect_refused"),
        ),
        (connecting(OSError(errno.EHOSTUNREACH, "no")), (UNSENT, "unreachable")),
        (connecting(socket.gaierror(-2, "no such name")), (UNSENT, "dns")),
        (connecting(ssl.SSLError(1, "[SSL] bad")), (UNSENT, "tls")),
        (
            connecting(OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b")),
            (UNSENT, "connect_refused"),
        ),
        (
            starting(exceptions.TimeoutError("Timeout connecting to server")),
            (UNSENT, "unreachable"),
        ),
        (starting(exceptions.AuthenticationError("no")), (UNSENT, "auth")),
        (
            exceptions.RedisClusterException("All slots are not covered"),
            (UNSENT, "unreachable"),
        ),
        (exceptions.SlotNotCoveredError("Slot 1"), (UNSENT, "unreachable")),
        (ConnectionResetError(errno.ECONNRESET, "reset"), (UNSENT, "reset")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_table(exc: Exception, end: tuple[Outcome, str]) -> None:
    """Every exception of redis-py that an operation can end with has a row."""
    outcome, error = classify(exc)
    assert (outcome, error.label) == end


def hidden() -> exceptions.ConnectionError:
    """Return a ConnectionError that redis-py made of something else."""
    made = exceptions.ConnectionError("strange")
    made.__cause__ = ValueError("strange")
    return made


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("ours"),
        KeyError(7),
        AttributeError("'NoneType' object has no attribute 'connection_kwargs'"),
        RuntimeError("unable to perform operation on <x closed=True>; the handler"),
        exceptions.InvalidResponse("Protocol Error"),
        exceptions.DataError("ours"),
        exceptions.ClusterError("another one"),
        OSError(errno.EMFILE, "too many open files"),
        hidden(),
    ],
    ids=repr,
)
def test_what_is_not_in_the_table_ends_the_run(exc: Exception) -> None:
    """A defect of ours, or one that is not known, never counts as a failure."""
    with pytest.raises(type(exc)) as caught:
        classify(exc)
    assert caught.value is exc


def test_a_defect_counts_only_if_it_is_the_library_s() -> None:
    """A slot that redis-py does not know is a KeyError, raised inside of it."""
    nodes = NodesManager([], require_full_coverage=False, connection_kwargs={})
    with pytest.raises(KeyError) as caught:
        nodes.get_node_from_slot(7)
    assert classify(caught.value) == (UNSENT, ErrorClass.UNREACHABLE)


async def test_a_connection_that_another_task_closed() -> None:
    """valkey-py writes to a connection that it has closed meanwhile: it was lost."""
    connection = VALKEY.plain(host="h")
    with pytest.raises(AttributeError) as caught:
        await connection._send_packed_command([b"x"])
    table = ErrorTable(VALKEY)
    assert table.classify(caught.value) == (UNSENT, ErrorClass.RESET)
    with pytest.raises(AttributeError):
        classify(caught.value)  # redis-py was not involved


@pytest.mark.parametrize(
    ("end", "tries", "answers", "expected"),
    [
        ((REFUSED, "clusterdown"), 2, 2, (REFUSED, "clusterdown")),
        ((REFUSED, "clusterdown"), 2, 1, (UNKNOWN, "clusterdown")),
        ((UNSENT, "connect_refused"), 0, 0, (UNSENT, "connect_refused")),
        ((UNSENT, "connect_refused"), 1, 0, (UNKNOWN, "connect_refused")),
        ((UNKNOWN, "timeout"), 1, 0, (UNKNOWN, "timeout")),
        ((UNKNOWN, "timeout"), 0, 0, (UNSENT, "unreachable")),
        ((UNKNOWN, "reset"), 1, 1, (UNSENT, "reset")),
    ],
)
def test_a_try_without_an_answer_may_have_happened(
    end: tuple[Outcome, str], tries: int, answers: int, expected: tuple[Outcome, str]
) -> None:
    """An operation is unsent or refused only if all of its tries are accounted for."""
    outcome, label = end
    found = end_of((outcome, ErrorClass[label.upper()]), tries=tries, answers=answers)
    assert (found[0], found[1].label) == expected
