"""Deployment cannot be run here: what it names exists, and all of it can be read."""

import configparser
import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from typer.testing import CliRunner

from loadprobe.cli.app import app
from loadprobe.config.file import load_config
from loadprobe.dashboards.files import make_files
from loadprobe.dashboards.rules import JOB
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
CONFIG_PATH = "/etc/loadprobe/loadprobe.toml"


def read_yaml(path: Path) -> Any:
    """Return a document."""
    return yaml.safe_load(path.read_text())


def compose() -> dict[str, Any]:
    """Return the services of the compose file."""
    services: dict[str, Any] = read_yaml(DEPLOY / "compose.yaml")["services"]
    return services


def parses(arguments: list[str]) -> bool:
    """Tell whether loadprobe understands a command, without running it."""
    result = CliRunner().invoke(app, [*arguments, "--help"])
    return result.exit_code == 0


def test_compose_names_what_exists() -> None:
    """Every file that is mounted is in the tree, and every volume known."""
    document = read_yaml(DEPLOY / "compose.yaml")
    assert set(document) == {"services", "volumes"}
    for name, service in document["services"].items():
        assert ("image" in service) != ("build" in service), name
        if "image" in service:
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), name
        for mount in service.get("volumes", []):
            source, target, *options = mount.split(":")
            assert target.startswith("/"), mount
            if source.startswith("."):
                assert (DEPLOY / source).exists(), mount
                assert options == ["ro"], mount
            else:
                assert source in document["volumes"], mount
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port
        assert set(service.get("depends_on", [])) <= document["services"].keys()


def test_the_image_is_built_from_what_exists() -> None:
    """The Dockerfile copies files of the tree and starts a command that parses."""
    build = compose()["loadprobe"]["build"]
    context = (DEPLOY / build["context"]).resolve()
    text = (context / build["dockerfile"]).read_text()

    assert context == ROOT
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((context / name).exists() for name in copied.split()), copied
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    arguments = yaml.safe_load(command)
    assert parses(arguments)
    assert arguments[-1] == CONFIG_PATH
    mounts = [mount.split(":")[1] for mount in compose()["loadprobe"]["volumes"]]
    assert CONFIG_PATH in mounts


def test_the_wheel_of_the_image(tmp_path: Path) -> None:
    """What the Dockerfile copies, and the ignored is not, is enough for a wheel."""
    text = (DEPLOY / "Dockerfile").read_text()
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    source = tmp_path / "src"
    source.mkdir()
    for copied, target in re.findall(r"^COPY (.+) (\S+)$", text, re.MULTILINE):
        for name in copied.split():
            assert f"!{name}" in kept
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tmp_path / target.strip("/"))
            else:
                shutil.copy(ROOT / name, source)
    wheels = tmp_path / "wheels"
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "wheel",
                "--quiet",
                "--no-deps",
                "--no-index",
            ),
            *("--no-build-isolation", "--wheel-dir", str(wheels), str(source)),
        ],
        check=True,
    )
    (wheel,) = wheels.glob("loadprobe-*.whl")
    with zipfile.ZipFile(wheel) as content:
        assert "loadprobe/scenarios/failover.toml" in content.namelist()


def test_the_image_installs_what_was_tested() -> None:
    """The lock has every package of a plain install, as tested, with its hashes."""
    text = (DEPLOY / "requirements.lock").read_text()
    tested = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()
    )
    tested = {_plain(name): version for name, version in tested.items()}
    locked: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        name, version = re.split(r"==|\s", entry)[:2]
        locked[_plain(name)] = version
        assert "--hash=sha256:" in entry, entry
    assert locked.items() <= tested.items()
    assert _needed("loadprobe") - {"loadprobe"} == locked.keys()
    assert "--require-hashes" in (DEPLOY / "Dockerfile").read_text()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needed(name: str) -> set[str]:
    """Return a package with all that it needs, and what the extras it asks for need."""
    found: set[tuple[str, str]] = set()
    waiting = [(name, "")]
    while waiting:
        package, extra = waiting.pop()
        if (package, extra) in found:
            continue
        found.add((package, extra))
        for text in importlib.metadata.requires(package) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                of = _plain(needed.name)
                waiting += [(of, each) for each in ("", *needed.extras)]
    return {package for package, _ in found}


def test_the_configuration_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables of the containers it listens where they can reach it."""
    assert load_config(str(DEPLOY / "loadprobe.toml")).http.listen == "127.0.0.1:9121"

    for name, value in compose()["loadprobe"]["environment"].items():
        monkeypatch.setenv(name, value)
    assert load_config(str(DEPLOY / "loadprobe.toml")).http.listen == "0.0.0.0:9121"


def test_prometheus_scrapes_both_pages(tmp_path: Path) -> None:
    """Two jobs, the one that the rules know among them; promtool accepts it."""
    config = read_yaml(DEPLOY / "prometheus.yml")
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    host = jobs[JOB]["static_configs"][0]["targets"][0].split(":")[0]

    assert {j.get("metrics_path", "/metrics") for j in jobs.values()} == {
        "/metrics",
        "/metrics/ms",
    }
    assert host in compose()
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on PATH; make prometheus installs it")
    for name, text in make_files().items():
        (tmp_path / name).write_text(text)
    shutil.copy(DEPLOY / "prometheus.yml", tmp_path)
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_its_dashboards() -> None:
    """The provisioned paths and addresses are those that its environment names."""
    grafana = compose()["grafana"]
    provisioning = ROOT / "grafana" / "provisioning"
    source = read_yaml(provisioning / "datasources" / "prometheus.yaml")
    boards = read_yaml(provisioning / "dashboards" / "loadprobe.yaml")

    assert source["datasources"][0]["type"] == "prometheus"
    assert source["datasources"][0]["url"] == "$PROMETHEUS_URL"
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
    assert boards["providers"][0]["options"]["path"] == "$DASHBOARDS_PATH"
    mounted = [mount.split(":")[:2] for mount in grafana["volumes"]]
    assert ["../grafana", grafana["environment"]["DASHBOARDS_PATH"]] in mounted
    interval = read_yaml(DEPLOY / "prometheus.yml")["global"]["scrape_interval"]
    assert source["datasources"][0]["jsonData"]["timeInterval"] == interval


def test_the_systemd_unit_starts_a_command_that_exists() -> None:
    """The unit is well-formed and starts loadprobe with the configuration."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "loadprobe.service")
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])

    assert program.endswith("/bin/loadprobe")
    assert arguments == ["run", CONFIG_PATH]
    assert parses(arguments)
    if shutil.which("systemd-analyze") is None:
        return
    done = subprocess.run(
        ["systemd-analyze", "verify", str(DEPLOY / "loadprobe.service")],
        capture_output=True,
        check=False,
        text=True,
    )
    said = [
        line
        for line in done.stderr.splitlines()
        if "loadprobe.service" in line and "is not executable" not in line
    ]
    assert said == []


def test_the_kubernetes_manifest_is_of_one_piece() -> None:
    """Labels, ports and volumes that are referred to are there."""
    deployment = read_yaml(DEPLOY / "kubernetes.yaml")
    spec = deployment["spec"]
    pod = spec["template"]
    (container,) = pod["spec"]["containers"]

    assert deployment["kind"] == "Deployment"
    assert spec["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert parses(container["args"])
    assert not pod["spec"]["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not container["image"].endswith(":latest")
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for kind in ("livenessProbe", "readinessProbe"):
        assert container[kind]["httpGet"]["port"] in ports
    given = {one["name"]: one["value"] for one in container["env"]}
    assert given == compose()["loadprobe"]["environment"]
    assert given["LOADPROBE_HTTP_LISTEN"].endswith(f":{ports['http']}")


class _Template(yaml.SafeLoader):
    """Reads a template; what CloudFormation fills in is left out."""


_Template.add_multi_constructor("!", lambda *_: None)


def test_the_function_asks_who_it_is() -> None:
    """Its URL answers who may by IAM; the template lets nobody else in."""
    text = (DEPLOY / "lambda" / "template.yaml").read_text()
    resources = yaml.load(text, _Template)["Resources"]
    urls = [r for r in resources.values() if r["Type"] == "AWS::Lambda::Url"]
    assert [url["Properties"]["AuthType"] for url in urls] == ["AWS_IAM"]
    assert "AWS::Lambda::Permission" not in {r["Type"] for r in resources.values()}
