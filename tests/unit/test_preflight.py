"""What is checked of lanes that the cluster does not serve yet."""

from pathlib import Path

from loadprobe.config import Config, Http, Lane, Output, Target
from loadprobe.preflight import Check, preflight

LANES = (
    Lane(name="tcp"),
    Lane(name="tls", tls=True),
    Lane(name="tls2", tls=True),
)


async def checks(target: Target, folder: Path, *dormant: str) -> dict[str, Check]:
    """Return the checks of a run by name."""
    config = Config(
        target=target, lanes=LANES, http=Http(listen=""), output=Output(str(folder))
    )
    return {check.name: check async for check in preflight(config, dormant=dormant)}


async def test_dormant_lanes_are_not_connected_to(tmp_path: Path) -> None:
    """Only the other lanes are; a line says which ones are left out."""
    target = Target(host="127.0.0.1", port=1)
    found = await checks(target, tmp_path, "tls", "tls2")
    assert not found["tcp"].passed
    assert "tls" not in found
    assert found["tls dormant"].passed
    assert found["tls dormant"].detail == (
        "tls, tls2: not connected to now; probing begins when the cluster serves TLS"
    )


async def test_without_an_endpoint_all_lanes_are_dormant(tmp_path: Path) -> None:
    """What can be checked without an endpoint is: certificates, files, the password."""
    found = await checks(Target(), tmp_path, *(lane.name for lane in LANES))
    assert all(check.passed for check in found.values()), found
    assert found.keys() >= {"output", "open files", "certificates", "tcp dormant"}
    assert "dns" not in found
