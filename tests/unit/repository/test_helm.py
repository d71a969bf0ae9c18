"""The Helm chart: rendered by Helm's own engine, held against Kubernetes' schemas."""

import functools
import itertools
import json
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import chart as helm
from helm_python import parse_set_string
from helm_python.errors import HelmError

from loadprobe import __version__
from loadprobe.config.file import parse_config
from loadprobe.dashboards.rules import JOB
from tests.support.docs_blocks import blocks
from tests.support.paths import ROOT

CHART = ROOT / "deploy" / "helm" / "loadprobe"
CONFIG = (ROOT / "deploy" / "loadprobe.toml").read_text()
NODES: dict[str, Any] = {"networkPolicy": {"cluster": {"cidrs": ["10.0.0.0/16"]}}}
LEAST: dict[str, Any] = {"config": CONFIG, **NODES}
ALL: dict[str, Any] = {
    **LEAST,
    "password": {"secretName": "cache", "key": "token"},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {
        "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:x"}
    },
    "nodeSelector": {"topology.kubernetes.io/zone": "eu-west-1a"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "cache"},
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True, "annotations": {"folder": "loadprobe"}},
    "networkPolicy": {
        "cluster": {"cidrs": ["10.0.0.0/16", "fd00::/8"], "ports": [6379, 6380]},
        "apis": {"cidrs": ["10.1.0.0/16"]},
    },
}
WAYS: dict[str, dict[str, Any]] = {
    "least": LEAST,
    "all": ALL,
    "no volume": {**ALL, "persistence": {"enabled": False}},
    "service monitor": {
        **ALL,
        "podMonitor": {"enabled": False},
        "serviceMonitor": {"enabled": True},
    },
    "config of yours": {**NODES, "existingConfigMap": "mine"},
    "no policy": {"config": CONFIG, "networkPolicy": {"enabled": False}},
}
VERSIONS = ("1.25", "1.34")
"""The oldest that the chart is for, and a new one."""

OF_THE_OPERATOR = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
"""Kinds whose schema is not among those of Kubernetes."""


@functools.cache
def chart() -> helm.Chart:
    """Return the chart, read once."""
    return helm.Chart.load(CHART)


def render(values: dict[str, Any], name: str = "lp") -> dict[tuple[str, str], Any]:
    """Return (kind, name) -> document."""
    found = {}
    for text in chart().render(values=values, name=name).values():
        for document in yaml.safe_load_all(text):
            if document is not None:
                key = (document["kind"], document["metadata"]["name"])
                assert key not in found, key
                found[key] = document
    return found


def of_kind(documents: dict[tuple[str, str], Any], *kinds: str) -> list[Any]:
    """Return the documents of some kinds."""
    return [document for (kind, _), document in documents.items() if kind in kinds]


def workload(documents: dict[tuple[str, str], Any]) -> Any:
    """Return what has the pod."""
    (found,) = of_kind(documents, "Deployment", "StatefulSet")
    return found


def test_helm_lint_finds_nothing() -> None:
    """No error and no warning; what is left is that there is no icon."""
    report = helm.lint(CHART, values=ALL, strict=True)
    assert report["errors"] == []
    assert [m["error"] for m in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(version: str) -> None:
    """Every document is one of its kind, without a key that is not known."""
    made = {
        json.dumps(document): document
        for values in WAYS.values()
        for document in render(values).values()
        if document["kind"] not in OF_THE_OPERATOR
    }
    assert {document["kind"] for document in made.values()} == {
        *("ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"),
        "StatefulSet",
    }
    for document in made.values():
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_find_what_is_wrong() -> None:
    """A key that is not known, and a value of another type, are found."""
    for path, value in (("replica", 1), ("replicas", "many")):
        document = workload(render(LEAST))
        document["spec"][path] = value
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_the_pod_is_that_of_the_manifest() -> None:
    """deploy/kubernetes.yaml and the chart start the same, but for names and labels."""
    plain = yaml.safe_load((ROOT / "deploy" / "kubernetes.yaml").read_text())
    made = workload(render({**LEAST, "persistence": {"enabled": False}}, "loadprobe"))

    pod = made["spec"]["template"]["spec"]
    assert pod.pop("serviceAccountName") == "loadprobe"
    assert pod["containers"][0].pop("imagePullPolicy") == "IfNotPresent"
    assert pod == plain["spec"]["template"]["spec"]
    assert made["kind"] == plain["kind"]
    for key in ("replicas", "strategy"):
        assert made["spec"][key] == plain["spec"][key]


@pytest.mark.parametrize("way", WAYS)
def test_it_is_of_one_piece(way: str) -> None:
    """Selectors find the pod, and what is mounted, referred to and named is there."""
    documents = render(WAYS[way])
    made = workload(documents)
    template = made["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]

    assert made["spec"]["selector"]["matchLabels"].items() <= labels
    for service in of_kind(documents, "Service"):
        assert service["spec"]["selector"].items() <= labels
        assert service["metadata"]["name"] == made["spec"].get(
            "serviceName", service["metadata"]["name"]
        )
    for policy in of_kind(documents, "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
    claims = made["spec"].get("volumeClaimTemplates", [])
    volumes = {each["name"] for each in template["spec"]["volumes"]}
    volumes |= {each["metadata"]["name"] for each in claims}
    assert {each["name"] for each in container["volumeMounts"]} == volumes
    assert bool(claims) is (made["kind"] == "StatefulSet")
    account = template["spec"]["serviceAccountName"]
    assert ("ServiceAccount", account) in documents
    (config,) = [v for v in template["spec"]["volumes"] if v["name"] == "config"]
    name = config["configMap"]["name"]
    assert ("ConfigMap", name) in documents or name == "mine"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not template["spec"]["automountServiceAccountToken"]


def test_the_configuration_comes_through() -> None:
    """It is the text that was given, and another one starts the pod anew."""
    documents = render(LEAST)
    text = documents["ConfigMap", "lp-loadprobe"]["data"]["loadprobe.toml"]
    assert text == CONFIG
    parse_config(text, where="loadprobe.toml")
    marks = {
        workload(render({**LEAST, "config": config}))["spec"]["template"]["metadata"][
            "annotations"
        ]["checksum/config"]
        for config in (CONFIG, f"{CONFIG}# other\n")
    }
    assert len(marks) == 2


def test_a_password_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is mounted from the Secret, and the configuration is told where."""
    spec = workload(render(ALL))["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (volume,) = [v for v in spec["volumes"] if v["name"] == "password"]
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "password"]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    path = parse_config(
        CONFIG,
        where="loadprobe.toml",
        environ={each["name"]: each["value"] for each in container["env"]},
    ).target.password_file

    (item,) = volume["secret"]["items"]
    assert volume["secret"]["secretName"] == "cache"
    assert item["key"] == "token"
    assert path == f"{mount['mountPath']}/{item['path']}"


@pytest.mark.parametrize("way", ["all", "service monitor"])
def test_the_monitors_are_the_jobs_of_prometheus(way: str) -> None:
    """Both pages are scraped, as the jobs that rules and dashboards know."""
    (monitor,) = of_kind(render(WAYS[way]), "PodMonitor", "ServiceMonitor")
    spec = monitor["spec"]
    endpoints = spec.get("podMetricsEndpoints") or spec["endpoints"]
    known = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())

    jobs = {
        each["job_name"]: (
            each.get("metrics_path", "/metrics"),
            each.get("honor_timestamps", False),
        )
        for each in known["scrape_configs"]
    }
    assert JOB in jobs
    made = {}
    for each in endpoints:
        (relabel,) = each["relabelings"]
        assert relabel["targetLabel"] == "job"
        made[relabel["replacement"]] = (
            each["path"],
            each.get("honorTimestamps", False),
        )
        assert each["port"] == "http"
    assert made == jobs


def test_rules_and_dashboards_are_those_of_the_tree() -> None:
    """They come from grafana/ by files, and nothing in them is taken for a template."""
    documents = render(ALL)
    (rules,) = of_kind(documents, "PrometheusRule")
    folder = ROOT / "grafana"
    assert rules["spec"] == yaml.safe_load((folder / "loadprobe.rules.yml").read_text())
    boards = {
        name: json.loads(text)
        for each in of_kind(documents, "ConfigMap")
        if "grafana_dashboard" in each["metadata"]["labels"]
        for name, text in each["data"].items()
    }
    assert boards == {
        f"loadprobe-{path.name}": json.loads(path.read_text())
        for path in folder.glob("*.json")
    }


def test_the_policy_opens_what_is_needed() -> None:
    """Names, nodes and APIs on their ports, and metrics for those who may."""
    (policy,) = of_kind(render(ALL), "NetworkPolicy")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    out = {
        (block["ipBlock"]["cidr"], port["port"])
        for rule in spec["egress"][1:]
        for block, port in itertools.product(rule["to"], rule["ports"])
    }
    assert out == {
        *itertools.product(["10.0.0.0/16", "fd00::/8"], [6379, 6380]),
        ("10.1.0.0/16", 443),
    }
    assert {each["port"] for each in spec["egress"][0]["ports"]} == {53}
    assert [each["port"] for each in spec["ingress"][0]["ports"]] == [9121]
    (closed,) = of_kind(
        render({**LEAST, "networkPolicy": {**NODES["networkPolicy"], "from": []}}),
        "NetworkPolicy",
    )
    assert closed["spec"]["ingress"] == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "set "),
        ({"config": CONFIG}, "networkPolicy.cluster.cidrs"),
        (NODES, "set config"),
        ({**LEAST, "image": {"tag": "latest"}}, "image"),
        ({**LEAST, "imgae": {}}, "imgae"),
        ({**LEAST, "persistence": {"size": "10"}}, "size"),
        (
            {**LEAST, "networkPolicy": {"cluster": {"cidrs": ["10.0.0.1"]}}},
            "cidrs",
        ),
        (
            {
                **LEAST,
                "podMonitor": {"enabled": True},
                "serviceMonitor": {"enabled": True},
            },
            "not both",
        ),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    """What is missing, misspelt or cannot be meant is told, and nothing is made."""
    with pytest.raises(HelmError, match=message):
        chart().render(values=values, name="lp")


def test_commands_in_the_docs() -> None:
    """What docs/kubernetes.md sets are values of the chart, as Helm reads them."""
    commands = [
        words
        for block in blocks("console")
        for words in block.commands
        if words[0] == "helm"
    ]
    assert {words[1] for words in commands} == {"install", "upgrade"}
    values: dict[str, Any] = {}
    for words in commands:
        assert (ROOT / words[3]).samefile(CHART)
        for option, value in itertools.pairwise(words):
            if option == "--set":
                values = helm_values(values, parse_set_string(value))
            if option == "--set-file":
                name, _, path = value.partition("=")
                values[name] = (ROOT / path).read_text()
        kinds = {kind for kind, _ in render(values, words[2])}
    assert kinds >= {"StatefulSet", "PodMonitor", "PrometheusRule", "NetworkPolicy"}


def helm_values(first: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return values with others over them."""
    merged = dict(first)
    for key, value in more.items():
        old = merged.get(key)
        is_deep = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = helm_values(old, value) if is_deep and old else value
    return merged


def test_the_table_in_the_docs() -> None:
    """Every value that it names is one of the chart."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \| [^|]+ \| ", text, re.MULTILINE)
    assert len(rows) > 5
    for row in rows:
        before = ""
        for name in re.findall(r"`([\w.]+)`", row):
            path = (
                f"{before.split('.', maxsplit=1)[0]}{name}"
                if name.startswith(".")
                else name
            )
            found: Any = chart().values
            for key in path.split("."):
                assert key in found, path
                found = found[key]
            before = path


def test_names_stay_within_what_kubernetes_takes() -> None:
    """A long release gives names that end in a letter or digit and are short enough."""
    for name in ("a" * 53, f"{'a' * 42}-bcdefghijk", "my-loadprobe"):
        for _, made in render(ALL, name):
            assert len(made) <= 63
            assert made[-1].isalnum()
            assert "loadprobe" in made or len(name) > 40


def test_the_version_is_that_of_the_package() -> None:
    """Chart and image are of the version that this tree is."""
    metadata = chart().metadata
    assert metadata["version"] == metadata["appVersion"] == __version__


def test_the_files_are_links() -> None:
    """There is one source: the chart's files lead to grafana/."""
    for path in (CHART / "files").iterdir():
        assert path.resolve() == ROOT / "grafana" / path.name
