"""Who may use the local control plane: whoever knows its access key.

An SDK sends the id of its access key in clear, in the header with its signature
(Signature Version 4), so the id itself is the secret here: 128 random bits that only
the owner of the state file can read. Signatures are not checked.
"""

import hmac
import re

from aiohttp import web

_CREDENTIAL = re.compile(r"^AWS4-HMAC-SHA256 .*?Credential=([^/,\s]+)/")


def has_key(request: web.Request, key: str) -> bool:
    """Tell whether a request carries a key, as an SDK sends it or as a bearer token."""
    header = request.headers.get("Authorization", "")
    found = _CREDENTIAL.match(header)
    given = found[1] if found else header.removeprefix("Bearer ").strip()
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())
