"""What a run shows on its page of metrics."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands import get


async def counters(url: str) -> dict[tuple[object, ...], float]:
    """Return the counters of the run that ``/metrics`` shows."""
    page = await get(f"{url}/metrics")
    assert page is not None
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("loadprobe_") and sample.name.endswith("_total")
    }


async def gauge(url: str, name: str) -> float:
    """Return a metric without labels of its own."""
    page = await get(f"{url}/metrics")
    assert page is not None
    (line,) = [
        row for row in page.splitlines() if row.startswith(f"loadprobe_{name}{{")
    ]
    return float(line.split()[1])
