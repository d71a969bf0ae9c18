"""The recording and alerting rules, run by promtool; each with mutants it must tell."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadprobe.dashboards.files import RULES_FILE
from loadprobe.dashboards.rules import rules_text
from loadprobe.outputs.metrics.catalogue import CATALOGUE
from loadprobe.outputs.metrics.metric import PREFIX
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not on PATH; make prometheus installs it",
)

TESTS = ROOT / "tests" / "rules" / "loadprobe.test.yml"
CASES: dict[str, Any] = yaml.safe_load(TESTS.read_text())
DOCUMENT: dict[str, Any] = yaml.safe_load(rules_text())
_COMPARED = re.compile(r"(==|>) (\d+(?:\.\d+)?)")
_NUMBER = re.compile(r"\d+")


def name_of(rule: dict[str, Any]) -> str:
    """Return the name of a rule."""
    name = rule.get("alert", rule.get("record"))
    assert isinstance(name, str)
    return name


def needed(document: dict[str, Any], cases: object) -> dict[str, Any]:
    """Return the rules that cases speak of, and those that these are made of."""
    texts = [json.dumps(cases)]
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    found: list[dict[str, Any]] = []
    while more := [
        rule
        for rule in rules
        if rule not in found and any(name_of(rule) in text for text in texts)
    ]:
        found += more
        texts = [rule["expr"] for rule in more]
    return {
        "groups": [
            group | {"rules": [rule for rule in group["rules"] if rule in found]}
            for group in document["groups"]
        ]
    }


def promtool(
    folder: Path, document: dict[str, Any], *, about: str = ""
) -> subprocess.CompletedProcess[str]:
    """Test rules.

    Args:
        folder: for files.
        document: the rules.
        about: only the cases that name it; all if it is empty.
    """
    cases = [case for case in CASES["tests"] if about in json.dumps(case)]
    assert cases, about
    # JSON is YAML, and is written a hundred times as fast.
    (folder / RULES_FILE).write_text(json.dumps(needed(document, cases)))
    (folder / TESTS.name).write_text(json.dumps(CASES | {"tests": cases}))
    return subprocess.run(
        ["promtool", "test", "rules", str(folder / TESTS.name)],
        capture_output=True,
        check=False,
        text=True,
    )


def alike(name: str) -> str:
    """Return another metric of the same kind and labels, or one that does not exist."""
    (this,) = [m for m in CATALOGUE if m.full_name == name]
    others = [
        m.full_name
        for m in CATALOGUE
        if (m.kind, m.labels) == (this.kind, this.labels) and m is not this
    ]
    return others[0] if others else f"{PREFIX}other_total"


def half(duration: str) -> str:
    """Return half of a duration."""
    number, unit = int(duration[:-1]), duration[-1]
    return f"{number * 30}s" if unit == "m" else f"{number * 30}m"


def changed_expressions(expr: str) -> Iterator[tuple[str, str]]:
    """Yield (what was done, expression)."""
    for match in _COMPARED.finditer(expr):
        before, after = expr[: match.start()], expr[match.end() :]
        sign, number = match[1], float(match[2])
        for other in (number * 2, number / 2) if number else (1.0,):
            yield (
                f"{match[0]} is {other:g} at {match.start()}",
                f"{before}{sign} {other}{after}",
            )
        if sign == "==":
            yield (
                f"{match[0]} is != at {match.start()}",
                f"{before}!= {match[2]}{after}",
            )
    lines = re.split(r"\n(?:and|or) ", expr)
    for place in range(len(lines) if lines[1:] else 0):
        yield f"without clause {place + 1}", lines[1 - place]
    for clause in (r" unless \S+ offset \d+m", r"\{[^}]*\}"):
        for text in sorted(set(re.findall(clause, expr))):
            yield f"without {text}", expr.replace(text, "")
    for match in re.finditer(r"(?<=, )[01](?=\))", expr):
        limit = "1e9" if match[0] == "1" else "-1e9"
        without = expr[: match.start()] + limit + expr[match.end() :]
        yield f"without the limit at {match.start()}", without
    for match in re.finditer(rf"(?<![:\w]){PREFIX}\w+", expr):
        other_name = alike(match[0])
        yield (
            f"{other_name} at {match.start()}",
            expr[: match.start()] + other_name + expr[match.end() :],
        )
    for match in re.finditer(r"ratio_rate\w+", expr):
        for record in {"ratio_rate5m", "ratio_rate6h"} - {match[0]}:
            if f":{record} " not in expr:
                continue
            swapped = expr[: match.start()] + record + expr[match.end() :]
            yield f"{record} for {match[0]}", swapped


def is_like_no_other(name: str) -> bool:
    """Tell whether a rule is more than another record with a window of its own."""
    return ":" not in name or name.endswith("5m")


def mutants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (what was done, all rules with one that is changed)."""
    for g, group in enumerate(DOCUMENT["groups"]):
        for r, rule in enumerate(group["rules"]):
            name = name_of(rule)
            changes = [
                (what, {"expr": expr})
                for what, expr in changed_expressions(rule["expr"])
                if is_like_no_other(name)
            ]
            if "record" in rule:
                wrong = {"5m": "30m", "30m": "5m", "1h": "6h", "6h": "1h"}
                window = re.findall(r"\[(\w+)\]", rule["expr"])[0]
                other = rule["expr"].replace(f"[{window}]", f"[{wrong[window]}]")
                changes.append((f"window {wrong[window]}", {"expr": other}))
            if "for" in rule:
                changes += [
                    ("without for", {"for": "0s"}),
                    ("half of for", {"for": half(rule["for"])}),
                ]
            elif "alert" in rule:
                changes.append(("with for", {"for": "1m"}))
            assert len({what for what, _ in changes}) == len(changes)
            for what, change in changes:
                document = copy.deepcopy(DOCUMENT)
                document["groups"][g]["rules"][r] |= change
                yield f"{name}: {what}", document


MUTANTS = dict(mutants())


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """The rules hold what their tests demand, and every alert is tested."""
    done = promtool(tmp_path, DOCUMENT)

    assert done.returncode == 0, done.stdout + done.stderr
    tested = TESTS.read_text()
    for group in DOCUMENT["groups"]:
        for rule in group["rules"]:
            assert name_of(rule) in tested


def test_there_are_mutants_of_every_rule() -> None:
    """Each rule has at least a wrong metric or threshold; alerts a wrong duration."""
    changed = [name.partition(": ")[0] for name in MUTANTS]
    rules = [rule for group in DOCUMENT["groups"] for rule in group["rules"]]

    for name in map(name_of, rules):
        assert changed.count(name) >= (3 if is_like_no_other(name) else 1), name


def test_records_differ_by_their_window_alone() -> None:
    """Of all but one, a wrong window is therefore all that can go wrong."""
    records = [
        rule
        for group in DOCUMENT["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]

    assert len(records) == 4
    assert len({re.sub(r"\[\w+\]", "[]", rule["expr"]) for rule in records}) == 1


@pytest.mark.parametrize("about", sorted({n.partition(": ")[0] for n in MUTANTS}))
def test_a_rule_is_right_as_it_is(about: str, tmp_path: Path) -> None:
    """With the rules alone that its tests need, they hold."""
    done = promtool(tmp_path, DOCUMENT, about=about)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.alone  # a hundred processes, which all are busy
@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_rule_is_found_out(name: str, tmp_path: Path) -> None:
    """Tests of the rules fail if a threshold, clause, metric or duration changes."""
    about = name.partition(": ")[0]
    done = promtool(tmp_path, MUTANTS[name], about=about)

    assert done.returncode == 1, f"{name} is not told from the rule"
    assert "FAILED" in done.stdout + done.stderr
