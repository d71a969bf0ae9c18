"""The tables of errors: every row, and that what is in no table ends the run."""

import asyncio
import errno
import socket
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.errors import (
    REPLY_CLASSES,
    classify_connect_error,
    classify_lost_connection,
    classify_reply,
    is_defect,
)
from loadprobe.drivers.tls import HANDSHAKE_UNANSWERED, advise, make_context
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.certificates import Authority


@pytest.mark.parametrize(("word", "expected"), REPLY_CLASSES.items())
def test_replies(word: str, expected: ErrorClass) -> None:
    """The first word of an error reply decides, whatever follows it."""
    assert classify_reply(word) is expected
    assert classify_reply(f"{word} some explanation") is expected
    assert classify_reply(f"{word}X some explanation") is ErrorClass.OTHER


@pytest.mark.parametrize("text", ["", "ERR unknown command", "clusterdown", " MOVED"])
def test_other_replies(text: str) -> None:
    """An error reply without a row of its own is a refusal of class other."""
    assert classify_reply(text) is ErrorClass.OTHER


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), ErrorClass.TLS),
        (ssl.SSLError(1, "[SSL] record layer failure"), ErrorClass.TLS),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), ErrorClass.TLS),
        (socket.gaierror(-2, "Name or service not known"), ErrorClass.DNS),
        (UnicodeError("label empty or too long"), ErrorClass.DNS),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), ErrorClass.CONNECT_REFUSED),
        (TimeoutError(), ErrorClass.UNREACHABLE),
        (OSError(errno.EHOSTUNREACH, "No route to host"), ErrorClass.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "x"), ErrorClass.UNREACHABLE),
        (ConnectionResetError(errno.ECONNRESET, "x"), ErrorClass.RESET),
        (BrokenPipeError(errno.EPIPE, "x"), ErrorClass.RESET),
        (ConnectionAbortedError("SSL handshake is taking longer"), ErrorClass.RESET),
        (ConnectionResetError("closed by peer"), ErrorClass.RESET),
    ],
    ids=repr,
)
def test_connect_errors(exc: Exception, expected: ErrorClass) -> None:
    """What an attempt to connect ends with is told by its exception."""
    assert classify_connect_error(exc) is expected


@pytest.mark.parametrize(
    "exc",
    [
        AttributeError("a defect of ours"),
        ValueError("a defect of ours"),
        OSError(errno.EMFILE, "Too many open files"),
        KeyError("x"),
    ],
    ids=repr,
)
def test_what_is_in_no_table_is_raised(exc: Exception) -> None:
    """A defect of ours, or a limit of this machine, never reads as downtime."""
    with pytest.raises(type(exc)):
        classify_connect_error(exc)
    with pytest.raises(type(exc)):
        classify_lost_connection(exc)


@pytest.mark.parametrize(
    "exc",
    [
        None,
        ConnectionResetError(errno.ECONNRESET, "x"),
        ssl.SSLError(1, "[SSL] bad record mac"),
        TimeoutError(errno.ETIMEDOUT, "x"),
        OSError(errno.EHOSTUNREACH, "x"),
    ],
    ids=repr,
)
def test_lost_connections(exc: Exception | None) -> None:
    """Arrivals on a connection that ended are unknown: they may have been applied."""
    assert classify_lost_connection(exc) == (Outcome.UNKNOWN, ErrorClass.RESET)


@pytest.mark.parametrize(
    ("detail", "remedy"),
    [
        (f"{HANDSHAKE_UNANSWERED} within 1000 ms", "tls = false"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "tls = false"),
        ("certificate verify failed: certificate has expired", "renew"),
        ("certificate verify failed: certificate is not yet valid", "clock"),
        ("certificate verify failed: Hostname mismatch, not valid for 'x'", "server_"),
        ("certificate verify failed: self-signed certificate", "ca_file"),
        ("certificate verify failed: unable to get local issuer", "ca_file"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] required", "asks for a client"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", "refused the client"),
    ],
)
def test_remedies_of_tls(detail: str, remedy: str) -> None:
    """Each way in which TLS fails has a remedy of its own."""
    advice = advise(detail)
    assert advice is not None
    assert remedy in advice


def test_no_remedy_is_invented() -> None:
    """What OpenSSL says beside that gets no remedy."""
    assert advise("[SSL] internal error") is None


def test_a_key_with_a_passphrase(tmp_path: Path) -> None:
    """An encrypted key is refused; nobody is asked for its passphrase."""
    files = Authority(tmp_path).issue("client")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    made = Target("h", cert_file=str(files.certificate), key_file=str(files.key))
    assert make_context(made).verify_mode is ssl.CERT_REQUIRED
    target = Target("h", cert_file=str(files.certificate), key_file=str(encrypted))
    with pytest.raises(PreflightError) as caught:
        make_context(target)
    assert f"target.key_file {str(encrypted)!r}" in str(caught.value)
    assert "without a passphrase" in str(caught.value)


def test_a_transport_that_closed_under_tls_is_a_lost_connection() -> None:
    """What uvloop says then is no defect of ours; any other RuntimeError is one."""
    text = "unable to perform operation on <TCPTransport>; the handler is closed"
    lost, other = RuntimeError(text), RuntimeError("dictionary changed size")
    assert classify_lost_connection(lost) == (Outcome.UNKNOWN, ErrorClass.RESET)
    assert classify_connect_error(lost) is ErrorClass.RESET
    assert not is_defect({"exception": lost, "protocol": object()})
    assert is_defect({"exception": lost, "handle": object()})
    assert is_defect({"exception": other, "protocol": object()})
    assert is_defect({"message": "no exception"})
    with pytest.raises(RuntimeError, match="dictionary"):
        classify_lost_connection(other)


async def test_a_handshake_that_nobody_waits_for_is_no_defect() -> None:
    """It failed as it was given up; a task that fails so is one of ours."""
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    forsaken = asyncio.get_running_loop().create_future()
    assert not is_defect({"exception": refused, "future": forsaken})
    assert is_defect({"exception": KeyError("x"), "future": forsaken})
    task = asyncio.create_task(asyncio.sleep(0))
    assert is_defect({"exception": refused, "future": task})
    assert is_defect({"exception": refused, "handle": object()})
    await task
