"""What the machine of the probe tells of itself: time taken by others, and credits."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from loadprobe.run.checks import Check
from loadprobe.run.machine import read_steal

_MAX_STEAL = 0.01
_MOST_BYTES = 1024
_TIMEOUT_S = 1.0
_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
_METADATA = "http://169.254.169.254"
_TOKEN_AGE_S = 60


@dataclass(frozen=True, slots=True)
class Instance:
    """What EC2 tells of the instance that a process runs on.

    Args:
        kind: instance type, such as ``c7g.large``.
        zone: availability zone.
    """

    kind: str
    zone: str


def judge_steal(steal: Callable[[], tuple[int, int]] = read_steal) -> Check:
    """Say how much of the time of this machine's processors went to other guests."""
    stolen, every = steal()
    if every == 0:
        return Check("steal", passed=True, detail="this system does not tell")
    share = stolen / every
    detail = (
        f"{share:.2%} of the processors' time since the machine was started went to "
        "other guests of its host"
    )
    if share <= _MAX_STEAL:
        return Check("steal", passed=True, detail=detail)
    detail += (
        "; in that time the probe sees nothing, which is told as blind: take a machine "
        "with fixed performance, or one that is larger"
    )
    return Check("steal", passed=False, detail=detail, is_needed=False)


async def find_instance(
    environ: Mapping[str, str] = os.environ, vendor: Path = _VENDOR
) -> Instance | None:
    """Ask EC2 what this machine is; None elsewhere, or if nobody answers.

    By IMDSv2 (EC2 User Guide, "Use the Instance Metadata Service"). The two variables
    are those of the AWS SDKs: AWS_EC2_METADATA_DISABLED, and
    AWS_EC2_METADATA_SERVICE_ENDPOINT.
    """
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    base = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").rstrip("/")
    if not base and not await asyncio.to_thread(_is_ec2, vendor):
        return None
    base = base or _METADATA
    age = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_AGE_S)}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(
            timeout=timeout, raise_for_status=True
        ) as session:
            async with session.put(f"{base}/latest/api/token", headers=age) as reply:
                token = {"X-aws-ec2-metadata-token": await _word(reply)}
            told: list[str] = []
            for path in ("instance-type", "placement/availability-zone"):
                url = f"{base}/latest/meta-data/{path}"
                async with session.get(url, headers=token) as reply:
                    told.append((await _word(reply))[:64])
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return Instance(told[0], told[1])


async def _word(reply: aiohttp.ClientResponse) -> str:
    """Return the begin of a reply: all of one that is right.

    Raises:
        ValueError: it is no text.
    """
    return (await reply.content.read(_MOST_BYTES)).decode("ascii").strip()


def _is_ec2(vendor: Path) -> bool:
    try:
        return vendor.read_text(encoding="ascii").strip() == "Amazon EC2"
    except (OSError, UnicodeDecodeError):
        return False


def is_burstable(kind: str) -> bool:
    """Tell whether a type of instance or node earns credits: t2, t3, t3a, t4g."""
    family = kind.removeprefix("cache.").partition(".")[0]
    return family.startswith("t") and family[1:2].isdigit()


def judge_credits(instance: Instance | None, node_types: set[str]) -> Check | None:
    """Warn of what is slowed when its credits are used up; None if neither is known.

    Args:
        instance: of the probe.
        node_types: of the group's nodes, such as ``cache.r7g.large``.
    """
    if instance is None and not node_types:
        return None
    own = f"the probe runs on {instance.kind} in {instance.zone}" if instance else ""
    nodes = f"nodes are {', '.join(sorted(node_types))}" if node_types else ""
    detail = "; ".join(part for part in (own, nodes) if part)
    slow = [kind for kind in sorted(node_types) if is_burstable(kind)]
    if instance is not None and is_burstable(instance.kind):
        slow.insert(0, instance.kind)
    if not slow:
        return Check("cpu credits", passed=True, detail=f"{detail}: none are needed")
    detail += (
        f"; {', '.join(slow)} is slowed when its CPU credits are used up: watch "
        "CPUCreditBalance in CloudWatch, or take a type with fixed performance"
    )
    return Check("cpu credits", passed=False, detail=detail, is_needed=False)
