"""Notices published to a topic of SNS.

Creating a client takes a good part of a second, so a publication is a thread's work,
with an event loop of its own, and begins anew each time: notices are rare. So is a
topic, and the AWS libraries are large: this module is imported by threads that have to
do with one, first of all where it is checked before the load.
"""

import asyncio
from typing import Any

import aioboto3  # type: ignore[import-untyped]
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict.notice_queue import Fate
from loadprobe.core.verdict.notices import Notice
from loadprobe.outputs.webhooks.formats import as_sns

_CONNECT_S = 3
_MS_PER_S = 1000
_REJECTED = frozenset(
    {"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid"}
)


def publish(webhook: Webhook, notice: Notice) -> tuple[Fate, str]:
    """Publish a notice once; return what became of it, in words as well.

    To be called by a thread; it takes ``timeout_ms`` at most, and what finding
    credentials takes.
    """
    return asyncio.run(_publish(webhook, notice))


def endpoint_of(webhook: Webhook) -> str:
    """Return the address of the service."""
    if webhook.endpoint_url is not None:
        return webhook.endpoint_url
    suffix = ".cn" if webhook.region.startswith("cn-") else ""
    return f"https://sns.{webhook.region}.amazonaws.com{suffix}"


async def _publish(webhook: Webhook, notice: Notice) -> tuple[Fate, str]:
    assert webhook.topic_arn is not None, "the kind has one"
    timeout_s = webhook.timeout_ms / _MS_PER_S
    settings = AioConfig(
        # Trying again is up to the queue.
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=min(timeout_s, _CONNECT_S),
        read_timeout=timeout_s,
    )
    arguments: dict[str, Any] = {
        "region_name": webhook.region,
        "endpoint_url": webhook.endpoint_url,
        "config": settings,
    }
    place = f"SNS at {endpoint_of(webhook)}"
    try:
        async with (
            asyncio.timeout(timeout_s + _CONNECT_S),
            aioboto3.Session().client("sns", **arguments) as client,
        ):
            await client.publish(**as_sns(notice, topic_arn=webhook.topic_arn))
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        said = str(exc.response.get("Error", {}).get("Message", ""))
        fate = Fate.REJECTED if code in _REJECTED else Fate.LATER
        return fate, f"{place} refused: {code}: {said[:300]}"
    except TimeoutError:
        return Fate.LATER, f"{place}: no answer within {webhook.timeout_ms} ms"
    except (BotoCoreError, OSError, ValueError) as exc:
        return Fate.LATER, f"{place}: {type(exc).__name__}: {str(exc)[:300]}"
    return Fate.TAKEN, f"{place} took it"
