"""The catalogue of metrics, and what is made from it."""

import pytest

from loadprobe.core.judging.histogram import Histogram
from loadprobe.outputs.metrics.bounds import (
    OUTAGE_BOUNDS_NS,
    RESPONSE_BOUNDS_NS,
    SHARD_BOUNDS_NS,
)
from loadprobe.outputs.metrics.catalogue import CATALOGUE
from loadprobe.outputs.reference import metrics_page
from tests.support.metric_pages import (
    FixedSource,
    S,
    one_of_each,
    openmetrics_families,
    page_of,
)
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "metrics.md"


def test_catalogue_is_sound() -> None:
    """Names are unique and carry their unit; labels are few; bounds ascend."""
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert ("_seconds" in metric.name) == metric.unit.endswith("s")
        assert "milliseconds" not in metric.name
        assert not {"key", "worker", "message", "le", "cluster"} & set(metric.labels)
        assert len(metric.labels) <= 4
        assert list(metric.bounds) == sorted(set(metric.bounds))
        assert (metric.kind == "histogram") == bool(metric.bounds)
        if metric.bounds == RESPONSE_BOUNDS_NS:
            assert "shard" not in metric.labels
        assert metric.help.endswith(".")
    assert len(RESPONSE_BOUNDS_NS) == 60
    assert (RESPONSE_BOUNDS_NS[0], RESPONSE_BOUNDS_NS[-1]) == (50_000, 40 * S)
    assert (len(SHARD_BOUNDS_NS), SHARD_BOUNDS_NS[-1]) == (19, 50 * S)
    assert (len(OUTAGE_BOUNDS_NS), OUTAGE_BOUNDS_NS[-1]) == (20, 300 * S)


def test_page() -> None:
    """docs/metrics.md is the catalogue, word for word."""
    assert PAGE.read_text() == metrics_page()


def test_every_metric_is_exported_as_described() -> None:
    """Each entry of the catalogue gives one family with its type and labels."""
    source = one_of_each()
    body, _ = page_of(source, "application/openmetrics-text")
    families = {f.name: f for f in openmetrics_families(body)}
    assert len(families) == len(CATALOGUE)
    for metric in CATALOGUE:
        family = families[metric.full_name.removesuffix("_total")]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        found = set(family.samples[0].labels) - {"le"}
        assert found == {"cluster", *metric.labels}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (FixedSource({"invented": {(): 1}}), "not in the metric catalogue"),
        (FixedSource({"cluster_shards": {("a",): 1}}), "has labels"),
        (FixedSource({"connect_seconds": {("a",): 1}}), "is a histogram"),
        (FixedSource({}, {"cluster_shards": {(): Histogram()}}), "is a gauge"),
    ],
)
def test_mistakes_of_the_program(source: FixedSource, problem: str) -> None:
    """A series that the catalogue does not know is an error, not a silent series."""
    with pytest.raises(ValueError, match=problem):
        page_of(source)
