"""The two pages of metrics, in both formats."""

import asyncio
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries
from loadprobe.outputs.metrics.catalogue import MILLISECONDS
from loadprobe.outputs.metrics.collector import CatalogueCollector
from loadprobe.outputs.metrics.exposition import Format, choose_format
from loadprobe.outputs.metrics.ms_page import render_ms_page
from loadprobe.outputs.metrics.page import make_encoder, make_registry, make_renderer
from tests.support.metric_pages import (
    BASE_S,
    make_metrics,
    one_of_each,
    openmetrics_families,
    page_of,
    samples_of,
)


def test_formats() -> None:
    """Both formats parse, hold the same series, and have no ``_created`` series."""
    metrics = make_metrics()
    text, _ = page_of(metrics, "text/plain")
    accept = "application/openmetrics-text; version=1.0.0"
    openmetrics, content_type = page_of(metrics, accept)
    assert content_type.startswith(Format.OPENMETRICS.value)
    assert openmetrics.endswith(b"# EOF\n")
    assert b"_created" not in text + openmetrics
    plain = {(s.name, *s.labels.items()): s.value for s in samples_of(text)}
    families = openmetrics_families(openmetrics)
    modern = {(s.name, *s.labels.items()): s.value for f in families for s in f.samples}
    assert plain == modern


@pytest.mark.parametrize("form", Format)
def test_a_page_is_what_the_library_writes_by_itself(form: Format) -> None:
    """What is left out to be fast changes no byte of it."""
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(make_metrics()))
    usual, _ = choose_encoder(form.value)
    encode, _ = make_encoder(form)
    assert encode(registry) == usual(registry)


@pytest.mark.parametrize("page", ["metrics", "milliseconds"])
def test_promtool(page: str) -> None:
    """The tool promtool has nothing to say about either page."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH; make prometheus installs it")
    body = page_of_milliseconds(Format.TEXT)
    if page == "metrics":
        registry = make_registry(CatalogueCollector(one_of_each()))
        body, _ = asyncio.run(make_renderer(registry)(""))
    found = subprocess.run(
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (found.stdout + found.stderr).decode().splitlines() == []
    assert found.returncode == 0


def page_of_milliseconds(form: Format) -> bytes:
    """Return a page with all its metrics, every series in two batches."""
    batches: list[MsSamples] = []
    for start in (1000, 2000):
        for kind, metric in zip(MsKind, MILLISECONDS, strict=True):
            labels = tuple(f"a {label}" for label in metric.labels)
            batch = MsSamples(MsSeries(kind, labels))
            for ms in range(start, start + 3):
                batch.add(ms, ms - start)
            batches.append(batch)
    return render_ms_page(batches, form, cluster='a "b"\\', shift_ms=BASE_S * 1000)


def test_page_of_milliseconds() -> None:
    """Both formats hold the same samples at the same times, a series in one piece."""
    text = page_of_milliseconds(Format.TEXT)
    families = openmetrics_families(page_of_milliseconds(Format.OPENMETRICS))
    modern = [s for f in families for s in f.samples]
    plain = samples_of(text)
    assert [f.name for f in families] == [metric.full_name for metric in MILLISECONDS]
    assert [(s.name, s.labels, s.value) for s in plain] == [
        (s.name, s.labels, s.value) for s in modern
    ]
    times = [s.timestamp for s in plain[:6]]
    expected = [BASE_S + ms / 1000 for ms in (1000, 1001, 1002, 2000, 2001, 2002)]
    assert times == pytest.approx(expected)
    assert [float(str(s.timestamp)) for s in modern[:6]] == pytest.approx(expected)
    assert {s.labels["cluster"] for s in plain} == {'a "b"\\'}
    for sample, metric in zip(plain[::6], MILLISECONDS, strict=True):
        assert set(sample.labels) == {"cluster", *metric.labels}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.9", False),
        ("application/openmetrics-text;version=9.9.9", False),
        ("application/openmetrics-text;version=", False),
        ("application/openmetrics-text;version=x.y", False),
        ("application/openmetrics-text;q=often", False),
        (";;,,==,q", False),
    ],
)
def test_negotiation(accept: str, expected: bool) -> None:
    """OpenMetrics is served to those who ask for a version there is, else text."""
    assert expected == (choose_format(accept) is Format.OPENMETRICS)


@given(st.text(alphabet="aptex/-;,= q.01nionmrcs*\t\u00e9", max_size=80))
def test_negotiation_never_fails(accept: str) -> None:
    """Whatever the header says, there is an answer."""
    assert choose_format(accept) in Format
