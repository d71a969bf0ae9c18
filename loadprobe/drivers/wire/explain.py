"""What went wrong before the load could begin, in one line with what to do."""

from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers import tls
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.wire.dial import Dialer, DialFailure


def explain_dial_failure(
    failure: DialFailure, host: str, port: int, dialer: Dialer
) -> str:
    """Return one line: what failed, and what to do."""
    doing = f"connecting to {host}:{port} by {'TLS' if dialer.context else 'TCP'}"
    match failure.error:
        case ErrorClass.DNS:
            advice = "check [target] host"
        case ErrorClass.CONNECT_REFUSED:
            advice = "nothing listens there; check host, port and tls_port"
        case ErrorClass.UNREACHABLE:
            advice = "check routes, security groups and port" + (
                "; a plaintext port does not answer a TLS handshake"
                if dialer.context
                else ""
            )
        case ErrorClass.TLS:
            advice = tls.advise(failure.detail) or (
                "check ca_file, server_name, and the dates of the certificate"
            )
        case ErrorClass.AUTH:
            advice = "check username, password_file or password_env"
        case ErrorClass.RESET:
            advice = (
                "the server closed the connection; does the port speak "
                f"{'plaintext (set tls = false)' if dialer.context else 'TLS'}?"
            )
        case ErrorClass.OTHER if "AUTH" in failure.detail:
            advice = "the server has no password; remove password_file or password_env"
        case _:
            advice = "the server is not ready"
    return f"{doing} failed: {failure.detail}; {advice}"


def explain_slots_error(text: str, host: str, port: int) -> str:
    """Return one line on an error reply to CLUSTER SLOTS."""
    if "cluster support disabled" in text:
        advice = "the server is not in cluster mode; set [target] cluster = false"
    elif classify_reply(text) is ErrorClass.AUTH and not text.startswith("NOPERM"):
        advice = "the server wants a password; set password_file or password_env"
    else:
        advice = "check the user's permissions (+cluster|slots, +cluster|nodes)"
    return f"CLUSTER SLOTS at {host}:{port} was refused: {text}; {advice}"
