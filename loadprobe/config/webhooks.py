"""The sections ``[[webhooks]]``: who is told of incidents, when, and as whom."""

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from loadprobe.config.secret_refs import read_secret
from loadprobe.errors import ConfigError

LARGEST_WEBHOOKS = 16
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"

_Text = Annotated[str, Meta(min_length=1)]
_Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z",
        description="text: up to 32 of a-z, 0-9, - and _, the first a letter or digit",
    ),
]
_TOPIC = re.compile(
    r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?"
)

# What a kind has to have (one of each group), and what else it may have.
_ADDRESS = ("url", "url_file", "url_env")
_ROUTING = ("routing_key_file", "routing_key_env")
_TOKEN = ("token_file", "token_env")
_NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "json": (_ADDRESS,),
    "slack": (_ADDRESS[1:],),
    "teams": (_ADDRESS[1:],),
    "pagerduty": (_ROUTING,),
    "sns": (("topic_arn",),),
}
_MAY: dict[str, tuple[str, ...]] = {
    "json": (*_TOKEN, "ca_file"),
    "slack": ("ca_file",),
    "teams": ("ca_file",),
    "pagerduty": ("url", "ca_file"),
    "sns": ("endpoint_url",),
}
_OF_A_KIND = (*_ADDRESS, *_ROUTING, *_TOKEN, "topic_arn", "endpoint_url", "ca_file")


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One receiver of notices of incidents.

    Args:
        name: of it, in metrics and log lines.
        kind: what it understands.
        url: where it is, if that is no secret.
        url_file: file whose first line is that.
        url_env: name of the environment variable that holds it.
        token_file: file whose first line is a bearer token ("json").
        token_env: name of the environment variable that holds it.
        routing_key_file: file whose first line is the integration key ("pagerduty").
        routing_key_env: name of the environment variable that holds it.
        topic_arn: the topic ("sns").
        endpoint_url: of the service, if it is not that of AWS ("sns").
        ca_file: PEM file of the certificate authorities to trust (default: system).
        timeout_ms: a request without an answer is given up after this.
        queue_notices: notices that may wait; older ones make room.
        min_dark_ms: an incident that was dark for less is not told of.
        worse_dark_ms: dark for so long, an incident is told of again.
        pause_s: between two notices of an incident that goes on.
        tell_planned: tell of darkness by plan as well.
        tell_maintenance: tell when others begin to change the group, and when they are
            done.
    """

    name: _Name
    kind: Literal["json", "slack", "teams", "pagerduty", "sns"]
    url: _Text | None = None
    url_file: _Text | None = None
    url_env: _Text | None = None
    token_file: _Text | None = None
    token_env: _Text | None = None
    routing_key_file: _Text | None = None
    routing_key_env: _Text | None = None
    topic_arn: _Text | None = None
    endpoint_url: _Text | None = None
    ca_file: _Text | None = None
    timeout_ms: Annotated[int, Meta(ge=100, le=60_000)] = 10_000
    queue_notices: Annotated[int, Meta(ge=2, le=10_000)] = 200
    min_dark_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 200
    worse_dark_ms: Annotated[int, Meta(ge=1000, le=86_400_000)] = 10_000
    pause_s: Annotated[int, Meta(ge=1, le=86_400)] = 30
    tell_planned: bool = False
    tell_maintenance: bool = False

    @property
    def has_secret_url(self) -> bool:
        """Tell whether who knows the address may send to it."""
        return self.url_file is not None or self.url_env is not None

    @property
    def region(self) -> str:
        """Return the region of the topic."""
        return (self.topic_arn or "").split(":")[3]

    def read_url(self) -> str:
        """Return the address of the receiver.

        Raises:
            ConfigError: the file or variable is missing or empty, or holds no address.
        """
        found = read_secret(self.at, "url", file=self.url_file, env=self.url_env)
        if found is None:
            return self.url or PAGERDUTY_URL
        key = "url_file" if self.url_file is not None else "url_env"
        problem = _problem_of(found.strip(), is_secret=True)
        if problem:
            raise ConfigError(f"{self.at}.{key}", f"what it holds is {problem}")
        return found.strip()

    def read_token(self) -> str | None:
        """Return the bearer token, or None if there is none.

        Raises:
            ConfigError: the file or variable is missing or empty, or holds no token.
        """
        return self._read("token", file=self.token_file, env=self.token_env)

    def read_routing_key(self) -> str | None:
        """Return the integration key, or None if there is none; raises as they do."""
        return self._read(
            "routing_key", file=self.routing_key_file, env=self.routing_key_env
        )

    @property
    def at(self) -> str:
        """Return its place in the file, for messages."""
        return f"webhooks.{self.name}"

    def _read(self, key: str, *, file: str | None, env: str | None) -> str | None:
        found = read_secret(self.at, key, file=file, env=env)
        if found is None:
            return None
        found = found.strip()
        if not found or not _is_printable(found):
            place = f"{self.at}.{key}_{'file' if file is not None else 'env'}"
            raise ConfigError(
                place,
                "what it holds is not printable ASCII without spaces; expected the "
                f"{key.replace('_', ' ')} alone",
            )
        return found


def check_webhooks(webhooks: tuple[Webhook, ...], where: str) -> None:
    """Check what no single key can tell.

    Args:
        webhooks: all sections.
        where: name of the file, for messages.

    Raises:
        ConfigError: keys do not fit together; no address is shown.
    """
    names: set[str] = set()
    for index, webhook in enumerate(webhooks):
        at = f"{where}: webhooks[{index}]"
        if webhook.name in names:
            raise ConfigError(
                f"{at}.name", f"{webhook.name!r} is used by two webhooks; rename one"
            )
        names.add(webhook.name)
        _check_keys(webhook, at)
        if webhook.url is not None:
            is_secret = webhook.kind == "pagerduty" or bool(
                webhook.token_file or webhook.token_env
            )
            problem = _problem_of(webhook.url, is_secret=is_secret)
            if problem or "?" in webhook.url:
                raise ConfigError(
                    f"{at}.url",
                    problem
                    or "a query may hold a secret; set url_file or url_env instead",
                )
        if webhook.endpoint_url is not None:
            problem = _problem_of(webhook.endpoint_url, is_secret=False)
            if problem:
                raise ConfigError(f"{at}.endpoint_url", problem)
        if webhook.topic_arn is not None and not _TOPIC.fullmatch(webhook.topic_arn):
            raise ConfigError(
                f"{at}.topic_arn",
                f"{webhook.topic_arn!r} is no topic; expected "
                '"arn:aws:sns:REGION:ACCOUNT:NAME"',
            )


def _check_keys(webhook: Webhook, at: str) -> None:
    """Check that a receiver has the keys of its kind, and no others."""
    given = [key for key in _OF_A_KIND if getattr(webhook, key) is not None]
    for group in _NEEDS[webhook.kind]:
        found = [key for key in group if key in given]
        if webhook.kind in ("slack", "teams") and "url" in given:
            raise ConfigError(
                f"{at}.url",
                f"who knows the address of a {webhook.kind} webhook may send to it, so "
                "it is a secret; set url_file or url_env",
            )
        if not found:
            raise ConfigError(
                at, f'kind = "{webhook.kind}" needs {" or ".join(group)}; add it'
            )
        _check_one(found, at)
    known = {key for group in _NEEDS[webhook.kind] for key in group}
    known |= set(_MAY[webhook.kind])
    strange = next((key for key in given if key not in known), None)
    if strange is not None:
        raise ConfigError(
            f"{at}.{strange}",
            f'not a key of kind = "{webhook.kind}"; remove it, or change kind',
        )
    _check_one([key for key in _TOKEN if key in given], at)


def _check_one(found: list[str], at: str) -> None:
    if len(found) > 1:
        raise ConfigError(at, f"give {' or '.join(found)}, not both")


def _problem_of(url: str, *, is_secret: bool) -> str:
    """Return why something is no address to send to, "" if it is one.

    The value is not shown: it may be a secret, or have one in it.
    """
    expected = 'not an address; expected "https://host/path", without user and password'
    try:
        parts = urlsplit(url)
        is_usable = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc
            and "#" not in url
            and _is_printable(url)
        )
    except ValueError:
        is_usable = False
    if not is_usable:
        return expected
    if is_secret and parts.scheme == "http" and not _is_loopback(parts):
        return 'an address with "http:", which would show a secret; expected "https:"'
    return ""


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_printable(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)
