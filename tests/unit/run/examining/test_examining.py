"""What is said of nodes, names, certificates and machines that were looked at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from loadprobe.clock import NS_PER_S
from loadprobe.core.topology.topology import Node, SlotsView
from loadprobe.run.examining.certificates import SeenCertificate, judge_certificates
from loadprobe.run.examining.distance import measure_distance
from loadprobe.run.examining.machine import (
    Instance,
    find_instance,
    is_burstable,
    judge_credits,
    judge_steal,
)
from loadprobe.run.examining.names import LookedUpName, judge_name
from loadprobe.run.examining.views import compare_views
from loadprobe.run.examining.visits import Visit

A, B = Node("a" * 40, "10.0.0.1", 6379), Node("b" * 40, "10.0.0.2", 6379)
HALVES = SlotsView(((0, 8191, A, ()), (8192, 16383, B, ())))
NOW_S = 1_800_000_000


def visit(last: int = 1, slots: SlotsView | None = HALVES, state: str = "ok") -> Visit:
    """Return a visit of a node that is 0.2 ms away."""
    address = (f"10.0.0.{last}", 6379)
    return Visit(address, "", (200_000, 210_000, 400_000), state, slots)


def test_views_that_agree_whatever_their_rows() -> None:
    """A row that is cut in two, and replicas, make no difference."""
    cut = SlotsView(
        ((8192, 16383, B, (A,)), (100, 8191, A, ()), (0, 99, A, ())),
    )
    check = compare_views("tcp nodes", [visit(1), visit(2, cut)])
    assert check.state == "pass"
    assert check.detail == "all 2 answer, and see the same owners of all slots"


def test_a_view_of_its_own() -> None:
    """The one that differs from most is named, as is one that is not well."""
    moved = SlotsView(((0, 8000, A, ()), (8001, 16383, B, ())))
    check = compare_views("tcp nodes", [visit(1), visit(2, moved), visit(3)])
    assert check.state == "warn"
    assert check.detail.startswith("10.0.0.2:6379 sees other owners of slots than 3")
    check = compare_views("tcp nodes", [visit(1), visit(2, state="fail")])
    assert "10.0.0.2:6379 sees cluster_state fail" in check.detail


def test_nodes_that_do_not_answer() -> None:
    """The first is told, and how many there are besides."""
    silent = [Visit(("10.0.0.9", port), f"no answer at {port}") for port in (1, 2)]
    check = compare_views("tcp nodes", [visit(1), *silent])
    assert check.state == "warn"
    assert check.detail.startswith("no answer at 1 (and 1 more); a run begins all the")
    assert measure_distance("tcp distance", silent) is None


def test_one_node_without_cluster_mode() -> None:
    """There is nothing to agree on."""
    check = compare_views("tcp nodes", [Visit(("h", 1), "", (1,))])
    assert check.detail == "the node answers"


def test_distance() -> None:
    """The floor is the least, and who is far or unsteady is warned of."""
    check = measure_distance("tcp distance", [visit(1), visit(2)])
    assert check is not None
    assert check.state == "pass"
    assert "takes 0.20 ms at least" in check.detail
    assert "0.21 ms usually" in check.detail
    far = Visit(("10.9.0.1", 6379), "", (80_000_000,))
    check = measure_distance("tcp distance", [visit(1), far])
    assert check is not None
    assert check.state == "warn"
    assert "10.9.0.1:6379 is 80.0 ms away" in check.detail
    busy = Visit(("10.0.0.1", 6379), "", (100_000, 9_000_000, 9_500_000))
    check = measure_distance("tcp distance", [busy])
    assert check is not None
    assert check.state == "warn"
    assert "unsteady" in check.detail


def seen(days: float, last: int = 1, failure: str = "") -> SeenCertificate:
    """Return a certificate that ends so many days from now."""
    ends = NOW_S + days * 86_400
    return SeenCertificate(
        (f"10.0.0.{last}", 6379), ("*.cache",), "Some CA", "TLSv1.3", ends, failure
    )


@pytest.mark.parametrize(
    ("certificates", "state", "part"),
    [
        ([seen(90), seen(31, 2)], "pass", "first of 2 to end is that of 10.0.0.2:6379"),
        ([seen(90), seen(29, 2)], "warn", "in 29 days; connections fail from then on"),
        ([seen(90), seen(0, 3, "WRONG_VERSION_NUMBER")], "warn", "speaks plaintext"),
    ],
)
def test_certificates(
    certificates: list[SeenCertificate], state: str, part: str
) -> None:
    """The one that ends first counts, and a handshake that failed says what to do."""
    now_ns = NOW_S * NS_PER_S
    check = judge_certificates("tls certificates", certificates, now_unix_ns=now_ns)
    assert check.state == state
    assert part in check.detail


@pytest.mark.parametrize(
    ("found", "state", "part"),
    [
        (
            LookedUpName("h", (("1", "2"), ("2", "1")), 15),
            "pass",
            "2 addresses: 1, 2; in changing order; kept for 15 s",
        ),
        (LookedUpName("h", (("1",), ("2",)), 5), "pass", "each answer has only some"),
        (LookedUpName("h", (("1",),), 3600), "warn", "lower its TTL"),
        (LookedUpName("h", (("1",),), None), "pass", "set [target] name_server"),
    ],
)
def test_names(found: LookedUpName, state: str, part: str) -> None:
    """What a name stands for, and how late its move is noticed."""
    check = judge_name(found)
    assert check.state == state
    assert part in check.detail


def test_steal() -> None:
    """From a hundredth on it is told what it does to a run."""
    assert judge_steal(lambda: (0, 0)).state == "pass"
    assert judge_steal(lambda: (10, 1000)).state == "pass"
    check = judge_steal(lambda: (11, 1000))
    assert check.state == "warn"
    assert check.detail.startswith("1.10% of the processors' time")


def test_credits() -> None:
    """Types that earn credits are named, whosever they are."""
    kinds = ("t3.small", "t4g.nano", "cache.t2.micro", "c7g.large", "trn1.2xlarge")
    assert list(map(is_burstable, kinds)) == [True, True, True, False, False]
    assert judge_credits(None, set()) is None
    fixed = judge_credits(Instance("c7g.large", "eu-west-1a"), {"cache.r7g.large"})
    assert fixed is not None
    assert fixed.state == "pass"
    assert "c7g.large in eu-west-1a" in fixed.detail
    slow = judge_credits(Instance("t3.small", "eu-west-1a"), {"cache.t4g.micro"})
    assert slow is not None
    assert slow.state == "warn"
    assert "t3.small, cache.t4g.micro is slowed" in slow.detail


@asynccontextmanager
async def metadata() -> AsyncIterator[BaseTestServer]:
    """Serve what an instance may ask of EC2."""
    tokens = {"X-aws-ec2-metadata-token": "the-token"}

    async def token(request: web.Request) -> web.Response:
        assert "X-aws-ec2-metadata-token-ttl-seconds" in request.headers
        return web.Response(text="the-token")

    async def told(request: web.Request) -> web.Response:
        if not tokens.items() <= dict(request.headers).items():
            return web.Response(status=401)
        known = {"instance-type": "t3.small", "placement/availability-zone": "eu-1a"}
        return web.Response(text=known[request.match_info["path"]])

    app = web.Application()
    app.router.add_put("/latest/api/token", token)
    app.router.add_get("/latest/meta-data/{path:.*}", told)
    async with TestServer(app) as server:
        yield server


async def test_the_instance_is_asked_for(tmp_path: Path) -> None:
    """By tokens, where it is EC2 or somebody says so; else nobody is asked."""
    async with metadata() as server:
        base = str(server.make_url("/"))
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": base}
        assert await find_instance(environ) == Instance("t3.small", "eu-1a")
        off = environ | {"AWS_EC2_METADATA_DISABLED": "true"}
        assert await find_instance(off) is None
    assert await find_instance(environ) is None  # nobody answers any more
    vendor = tmp_path / "sys_vendor"
    assert await find_instance({}, vendor) is None
    vendor.write_text("Somebody else\n")
    assert await find_instance({}, vendor) is None
