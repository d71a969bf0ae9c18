"""The one SSLContext of a process: making one takes 30 ms, so not per connection."""

import ipaddress
import ssl

from loadprobe.config.keys import Target
from loadprobe.errors import PreflightError


def make_context(target: Target) -> ssl.SSLContext:
    """Build the client context from the target's CA and client certificate.

    Raises:
        PreflightError: a certificate or key file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if target.ca_file is not None:
            context.load_verify_locations(cafile=target.ca_file)
        else:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as exc:
        raise PreflightError(
            f"target.ca_file {target.ca_file!r} cannot be used: {exc}; "
            "it must be a PEM file of certificate authorities"
        ) from exc
    if target.cert_file is not None:
        try:
            # Without a password callback an encrypted key asks at the terminal.
            context.load_cert_chain(target.cert_file, target.key_file, lambda: "")
        except (OSError, ssl.SSLError) as exc:
            raise PreflightError(
                f"target.cert_file {target.cert_file!r} with target.key_file "
                f"{target.key_file!r} cannot be used: {exc}; they must be a PEM "
                "certificate and its private key, without a passphrase"
            ) from exc
    return context


HANDSHAKE_UNANSWERED = "the TLS handshake was not answered"

_ADVICE = {
    HANDSHAKE_UNANSWERED: "does the port speak plaintext? set [target] tls_port, or "
    "tls = false in the lane",
    "WRONG_VERSION_NUMBER": "the port speaks plaintext; set [target] tls_port, or "
    "tls = false in the lane",
    "CERTIFICATE_REQUIRED": "the server asks for a client certificate; set [target] "
    "cert_file and key_file",
    "certificate has expired": "renew the server's certificate, or set the clock here",
    "certificate is not yet valid": "set the clock here or on the machine that made "
    "the server's certificate",
    "not valid for": "set [target] server_name to a name in the server's certificate",
    "certificate verify failed": "set [target] ca_file to the authority that signed "
    "the server's certificate",
    "ALERT_": "the server refused the client certificate; check [target] cert_file "
    "and key_file",
}
"""Part of what OpenSSL 3 says -> what to do; the first that fits counts."""


def advise(detail: str) -> str | None:
    """Return what to do about a TLS connection that failed, if that is known."""
    return next((text for part, text in _ADVICE.items() if part in detail), None)


def is_ip(host: str) -> bool:
    """Tell whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def server_name(target: Target, host: str) -> str:
    """Return the name to send by SNI and to verify for a node.

    The configured name wins. A node that is announced by its IP address is verified
    under the name of the configuration endpoint, if that is a name: certificates of
    managed services name hosts, not addresses.
    """
    if target.server_name is not None:
        return target.server_name
    if is_ip(host) and not is_ip(target.host):
        return target.host
    return host
