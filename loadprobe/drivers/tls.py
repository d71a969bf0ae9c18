"""The one SSLContext of a process (building one costs 30 ms, so never per connection)."""

import ipaddress
import ssl

from loadprobe.config import Target
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
            context.load_cert_chain(target.cert_file, target.key_file)
        except (OSError, ssl.SSLError) as exc:
            raise PreflightError(
                f"client certificate {target.cert_file!r} with key "
                f"{target.key_file!r} cannot be used: {exc}"
            ) from exc
    return context


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
