"""The Lambda function, under AWS' own runtime client, against a real server."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadprobe.local.cluster.ports import free_ports
from tests.support.lambda_runtime import LambdaRuntime, running_function


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a server without cluster mode."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("no valkey-server or redis-server on PATH; make server installs it")
    folder: Path = tmp_path_factory.mktemp("server")
    (port,) = free_ports(1)
    words = ["--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *words], stdout=subprocess.DEVNULL) as server:
        yield port
        server.kill()


@pytest.fixture(scope="module")
def function(port: int) -> Iterator[LambdaRuntime]:
    """Return the function, for that server."""
    with running_function(
        TARGET_HOST="127.0.0.1",
        TARGET_PORT=str(port),
        TARGET_CLUSTER="false",
        TLS_MODE="none",
        RATE_PER_SECOND="500",
    ) as runtime:
        yield runtime


@pytest.mark.parametrize(
    ("method", "path", "event", "said"),
    [
        ("GET", "/", {}, "'GET ' is neither of GET /check, POST /run"),
        ("GET", "/run", {}, "'GET /run' is neither of GET /check, POST /run"),
        ("POST", "/run", {"body": "seconds"}, "the body is no JSON"),
        ("POST", "/run", {"body": "60"}, "the body is no object"),
        *(
            ("POST", "/run", {"queryStringParameters": {"seconds": text}}, "1 to 600")
            for text in ("0", "601", "-1", "1.5", "٣", "9" * 99, "")
        ),
    ],
)
def test_what_cannot_be_asked(
    function: LambdaRuntime, method: str, path: str, event: dict[str, object], said: str
) -> None:
    """It is refused with what can, and nothing is run."""
    status, answer = function.ask(method, path, **event)
    assert status == 400
    assert said in answer["error"]


def test_a_run_that_does_not_fit(function: LambdaRuntime) -> None:
    """A run ends, with its report, before the time of the function does."""
    answer = function.call({"do": "run", "seconds": 60}, left_s=100)
    assert answer["status"] == 400
    assert "do not fit" in answer["error"]


def test_a_check(function: LambdaRuntime) -> None:
    """It is the command's own, with the state of each line."""
    status, answer = function.ask("GET", "/check")
    assert (status, answer["ready"]) == (200, True)
    states = {each["name"]: each["state"] for each in answer["checks"]}
    assert states["tcp"] == "pass"
    assert "fail" not in states.values()


@pytest.mark.alone
def test_a_run(function: LambdaRuntime) -> None:
    """The verdict stands first, and the summary is that of a run."""
    body = {"body": "eyJzZWNvbmRzIjogMn0=", "isBase64Encoded": True}
    status, answer = function.ask("POST", "/run", **body)
    assert status == 200
    assert list(answer)[:3] == ["state", "headline", "verdict"]
    assert answer["state"] in {"clean", "blind"}
    assert answer["verdict"]
    assert answer["exit_code"] == 0
    (lane,) = answer["summary"]["lanes"]
    assert lane["name"] == "tcp"
    assert answer["summary"]["duration_s"] >= 2


@pytest.mark.alone
def test_a_server_that_is_not_there() -> None:
    """It is told as such, by check and by run."""
    with running_function(TARGET_HOST="127.0.0.1", TARGET_PORT="1") as nowhere:
        status, answer = nowhere.ask("GET", "/check")
        assert (status, answer["ready"]) == (503, False)
        assert "fail" in {each["state"] for each in answer["checks"]}
        status, answer = nowhere.ask(
            "POST", "/run", queryStringParameters={"seconds": "1"}
        )
        assert status == 503
        assert answer["state"] is None
        assert answer["said"]
