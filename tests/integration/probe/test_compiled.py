"""The compiled loop does what the same modules do in Python: their own tests pass."""

import os
import subprocess
import sys

import pytest

import hatch_build
from tests.support.paths import ROOT

_COMPILED = ROOT / "build" / "compiled"
_TESTS = (
    "tests/integration/drivers/test_wire_driver.py",
    "tests/integration/drivers/test_wire_driver_endpoints.py",
    "tests/props/core/load/test_ledger.py",
    "tests/props/drivers/wire/test_connection.py",
    "tests/props/probe/test_changing_rates.py",
    "tests/unit/core/load/test_ledger.py",
    "tests/unit/core/load/test_values.py",
    "tests/unit/drivers/wire/test_connection.py",
    "tests/unit/drivers/wire/test_node.py",
    "tests/unit/drivers/wire/test_tls_sockets.py",
    "tests/unit/probe/test_content.py",
    "tests/unit/probe/test_lane.py",
    "tests/unit/probe/test_lane_values.py",
    "tests/unit/probe/test_loops.py",
    "tests/unit/probe/test_parts.py",
)
_COUNTED = """
import pathlib, sys
from loadprobe import compiled
from loadprobe.run import load as measurement
from loadprobe.drivers.wire import connection
from loadprobe.probe import lane
print(compiled.HOW, *(pathlib.Path(m.__file__).suffix for m in (connection, lane)))
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Return the environment in which the compiled copy is found first."""
    if not _COMPILED.is_dir():
        pytest.skip("there is no compiled copy to test; make one with 'make compiled'")
    for module in hatch_build.MODULES:
        source = f"loadprobe/{module}.py"
        is_same = (ROOT / source).read_bytes() == (_COMPILED / source).read_bytes()
        assert is_same, f"{source} changed since; compile it with 'make compiled'"
    return {
        **os.environ,
        "PYTHONPATH": f"{_COMPILED}{os.pathsep}{ROOT}",
        "PYTHONSAFEPATH": "1",
    }


def test_the_loop_is_compiled(environment: dict[str, str]) -> None:
    """A process that finds the copy first runs what was compiled, and says so."""
    ran = subprocess.run(
        [sys.executable, "-c", _COUNTED],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["compiled", ".so", ".so"]


@pytest.mark.alone
@pytest.mark.timeout(300)  # the tests of a dozen modules
def test_what_it_does_is_the_same(environment: dict[str, str]) -> None:
    """Lane, driver, connections, TLS and ledger pass their tests when compiled."""
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", f"pythonpath={_COMPILED} {ROOT}"),
            *_TESTS,
        ],
        cwd=ROOT,
        env={k: v for k, v in environment.items() if not k.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
