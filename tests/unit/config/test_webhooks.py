"""Webhooks: their addresses and tokens are read by reference, and not shown."""

from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import to_plain
from loadprobe.config.webhooks import Webhook
from loadprobe.errors import ConfigError
from tests.support.configurations import SMALLEST, with_environment


def webhook_of(**keys: Any) -> Webhook:
    """Return a webhook with some keys set."""
    return Webhook(**({"name": "chat", "kind": "slack"} | keys))


def test_the_variable_of_a_webhook_is_not_a_key() -> None:
    """A LOADPROBE_ variable may hold an address, and is in nothing that is kept."""
    text = f'{SMALLEST}\n[[webhooks]]\nname = "chat"\nkind = "slack"\n'
    text += 'url_env = "LOADPROBE_SLACK_URL"\n'
    url = "https://hooks.example.com/services/hunter2"
    config = with_environment(text, LOADPROBE_SLACK_URL=url)
    assert config.webhooks[0].has_secret_url
    assert "hunter2" not in str(to_plain(config))
    with pytest.raises(ConfigError) as caught:
        with_environment(LOADPROBE_SLACK_URL=url)
    assert "hunter2" not in str(caught.value)


def test_addresses_of_webhooks_are_read_by_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or a variable, as it is now; PagerDuty has one of its own."""
    file = tmp_path / "url"
    file.write_text("https://hooks.example.com/a?sig=b \n")
    webhook = webhook_of(url_file=str(file))
    assert webhook.read_url() == "https://hooks.example.com/a?sig=b"
    file.write_text("https://hooks.example.com/c\n")
    assert webhook.read_url() == "https://hooks.example.com/c"
    monkeypatch.setenv("CHAT_URL", "http://localhost:1/")
    assert webhook_of(url_env="CHAT_URL").read_url() == "http://localhost:1/"
    monkeypatch.setenv("KEY", " 0123456789abcdef0123456789abcdef ")
    pager = webhook_of(kind="pagerduty", routing_key_env="KEY")
    assert pager.read_url() == "https://events.pagerduty.com/v2/enqueue"
    assert pager.read_routing_key() == "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("TOKEN", "hunter2")
    assert webhook_of(kind="json", token_env="TOKEN").read_token() == "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com/hunter2",
        "ftp://hooks.example.com/hunter2",
        "file:///hunter2",
        "https://me:hunter2@hooks.example.com/",
        "https://hooks.example.com/hunter2#x",
        "https://hooks.example.com/hunter2 x",
        "https:///hunter2",
        "https://hooks.example.com:0/hunter2",
        "https://[hunter2/",
        "http://hooks.example.com/hunter2",
    ],
)
def test_what_is_no_address_of_a_webhook(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused by the key of its reference, and not shown."""
    monkeypatch.setenv("CHAT_URL", url)
    with pytest.raises(ConfigError) as caught:
        webhook_of(url_env="CHAT_URL").read_url()
    message = str(caught.value)
    assert message.startswith("webhooks.chat.url_env: what it holds is")
    assert "hunter2" not in message


def test_a_token_of_a_webhook_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could smuggle a header in is refused, and not shown."""
    monkeypatch.setenv("TOKEN", "hunter2\r\nX-Other: 1")
    with pytest.raises(ConfigError, match="webhooks.chat.token_env") as caught:
        webhook_of(kind="json", token_env="TOKEN").read_token()
    assert "hunter2" not in str(caught.value)
