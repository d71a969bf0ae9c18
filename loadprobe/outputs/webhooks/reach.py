"""Whether a receiver can be reached: secrets, name, a connection, and no request."""

import asyncio
import ssl
from urllib.parse import urlsplit

from loadprobe.config.webhooks import Webhook
from loadprobe.errors import RunError
from loadprobe.outputs.webhooks.receiver import make_tls, place_of

_CONNECT_S = 3.0
_PORTS = {"http": 80, "https": 443}


async def reach(webhook: Webhook) -> str:
    """Connect, over TLS where the address says so, and hang up; return what was seen.

    Raises:
        UsageError: a secret or a certificate file on this machine cannot be used.
        RunError: nobody answers there, or not as it should.
    """
    url, context = await asyncio.to_thread(prepare_receiver, webhook)
    parts = urlsplit(url)
    place = place_of(url)
    assert parts.hostname is not None, "it was checked"
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or _PORTS[parts.scheme], ssl=context
            )
            writer.transport.abort()
    except TimeoutError:
        raise RunError(f"{place}: no connection within {_CONNECT_S:g} s") from None
    except ssl.SSLCertVerificationError as exc:
        raise RunError(f"{place}: {exc.verify_message}; is a ca_file missing?") from exc
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
        raise RunError(f"{place} cannot be reached: {why}") from exc
    return f"{place} can be reached; nothing was sent (loadprobe webhooks test)"


def prepare_receiver(webhook: Webhook) -> tuple[str, ssl.SSLContext | None]:
    """Read everything that is on this machine; return the address and how to encrypt.

    Raises:
        UsageError: something of it cannot be used.
    """
    webhook.read_token()
    webhook.read_routing_key()
    url = _endpoint(webhook) if webhook.kind == "sns" else webhook.read_url()
    return url, make_tls(webhook, url)


def _endpoint(webhook: Webhook) -> str:
    # Here, in a thread and before the load: what a notice loads holds the run up.
    from loadprobe.outputs.webhooks.topic import endpoint_of

    return endpoint_of(webhook)
