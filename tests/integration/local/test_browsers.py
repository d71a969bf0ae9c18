"""No web page reaches the local control plane."""

import aiohttp
import pytest

from loadprobe.local.api.control_plane import (
    FAULTS_PATH,
    GROUPS_PATH,
    ControlPlane,
)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
    ],
)
async def test_what_a_page_may_send_is_refused(headers: dict[str, str]) -> None:
    """Neither a foreign origin nor a rebound name changes or reads anything."""
    form = "Action=DescribeReplicationGroups&Version=2015-02-02"
    fault = '{"action": "ModifyReplicationGroup", "kind": "lose_request"}'
    plain = {"Content-Type": "text/plain"}
    async with ControlPlane() as plane, aiohttp.ClientSession() as session:
        url = plane.endpoint_url
        calls = [("POST", "/", form), ("POST", FAULTS_PATH, fault)]
        calls += [("DELETE", FAULTS_PATH, ""), ("GET", GROUPS_PATH, "")]
        for method, path, body in calls:
            asked = session.request(
                method, url + path, data=body, headers=plain | headers
            )
            async with asked as reply:
                assert reply.status == 403
        async with session.get(url + GROUPS_PATH) as reply:
            assert reply.status == 200
