"""The reference page of all metrics (``docs/metrics.md``), made from the catalogue.

``python -m loadprobe.outputs.reference > docs/metrics.md`` writes it anew.
"""

import sys

from loadprobe.core.judging.delivery import (
    LONGEST_ASKED_PAUSE_S,
    LONGEST_PAUSE_S,
    RETRY_S,
    SPAN_MS,
)
from loadprobe.core.judging.ms_log import WINDOW_MS, WINDOW_SAMPLES
from loadprobe.outputs.metrics.bounds import (
    ERROR_BOUNDS,
    HEALTH_BOUNDS_NS,
    OUTAGE_BOUNDS_NS,
    RESPONSE_BOUNDS_NS,
    SHARD_BOUNDS_NS,
)
from loadprobe.outputs.metrics.catalogue import CATALOGUE, MILLISECONDS
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL, Metric
from loadprobe.outputs.remote_write.sender import FLUSH_S

_BOUNDS = {
    RESPONSE_BOUNDS_NS: "response",
    SHARD_BOUNDS_NS: "shard",
    HEALTH_BOUNDS_NS: "health",
    OUTAGE_BOUNDS_NS: "outage",
    ERROR_BOUNDS: "errors",
}


def metrics_page() -> str:
    """Return the page."""
    scales = {metric.bounds: metric.scale for metric in CATALOGUE if metric.bounds}
    bounds = [
        f"* {name}: {', '.join(f'{bound / scales[table]:g}' for bound in table)}"
        for table, name in _BOUNDS.items()
    ]
    return _PAGE.format(
        rows="\n".join(map(_row, CATALOGUE)),
        ms_rows="\n".join(map(_row, MILLISECONDS)),
        bounds="\n".join(bounds),
        window_s=WINDOW_MS // 1000,
        samples=f"{WINDOW_SAMPLES:,}",
        span_s=SPAN_MS // 1000,
        pause_s=int(LONGEST_PAUSE_S),
        asked_s=int(LONGEST_ASKED_PAUSE_S),
        retry_min=RETRY_S // 60,
        flush_s=int(FLUSH_S),
    )


def _row(metric: Metric) -> str:
    labels = ", ".join((CLUSTER_LABEL, *metric.labels))
    text = metric.help
    if metric.bounds:
        text = f"{text} Buckets: {_BOUNDS[metric.bounds]}."
    name = f"`{metric.full_name}`"
    return f"| {name} | {metric.kind} | {metric.unit} | {labels} | {text} |"


_PAGE = """\
# Metrics

Two pages are served, as Prometheus text, or as OpenMetrics 1.0 where the scraper asks
for it. The tables are made from `loadprobe/outputs/metrics/catalogue.py`, as are the
metrics themselves. What the words mean is said in [measuring](measuring.md). A cell is
one millisecond of a scope.

## /metrics

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
{rows}

Histogram bounds, in the unit of the metric and inclusive; `+Inf` is the last bucket:

{bounds}

Beside them stand what the Python client library tells of every process, without
`cluster`; here it is the supervisor, the probes are processes of their own:

* `process_cpu_seconds_total`, `process_resident_memory_bytes`,
  `process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`,
  `process_max_fds`
* `python_info`, `python_gc_collections_total`, `python_gc_objects_collected_total`,
  `python_gc_objects_uncollectable_total`

The page is a registry of that library. The metrics of the run are one collector in it,
`loadprobe.outputs.metrics.collector.CatalogueCollector`, which can be registered in any
other. Their values are copied in the supervisor's loop, and written out by a thread.

## /metrics/ms

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
{ms_rows}

Every sample carries the UNIX time of its millisecond. Only what matters is there: each
millisecond of a scope with a failed arrival, and the first one after it without, so
that a series that rose falls to zero. `loadprobe_cell_ops` has `outcome="served"` only;
all arrivals of a millisecond are its value plus those of `loadprobe_cell_errors`. A
millisecond in which the probe was blind is left out: it proves nothing about the
cluster. In its place `loadprobe_cell_blind` has one sample where the blind time begins,
with its length. `loadprobe_cell_planned` has such samples of the time in which a
scenario announced darkness, whether it was dark or not.

Samples are sealed before they are shown, so each has one value for ever, whoever asks
and however often.

## Scraping both

```yaml
scrape_configs:
  - job_name: loadprobe
    scrape_interval: 5s
    static_configs: [{{targets: ["127.0.0.1:9121"]}}]
  - job_name: loadprobe_ms
    metrics_path: /metrics/ms
    scrape_interval: 5s
    honor_timestamps: true
    static_configs: [{{targets: ["127.0.0.1:9121"]}}]
```

The page of milliseconds reaches {window_s} s back, so a scrape may come a minute after
the one before, and holds {samples} samples at most. Older ones make room for newer
ones. Those that no scrape had seen by then are counted in
`loadprobe_cells_dropped_total`; it cannot know of a second scraper that saw less
than the first. If it ever grows, scrape more often, or use the counters: they lose
nothing.

## Remote write

The samples of `/metrics/ms` can be sent instead of fetched, in Prometheus' remote write
1.0 (protobuf in snappy): where nothing may connect to the probe, or to Amazon Managed
Service for Prometheus. Only they are sent; `/metrics` is for an agent to scrape.

```toml
[remote_write]
url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
sigv4 = true
region = "eu-west-1"
extra_labels = {{ job = "loadprobe_ms", instance = "probe-1" }}
```

A Prometheus takes them with `--web.enable-remote-write-receiver`. The series are those
of the page; `job` and `instance` are what a scrape would add. Do not do both into one
database under the same labels: the second to come is out of order.

* Nothing waits for the receiver. What cannot be sent stands in a queue
  (`queue_samples`), whose oldest samples make room. A run begins, is judged and ends as
  it would without it; at its end what is left is sent for {flush_s} s at most.
* One request is under way at a time, so every series arrives by time. A request has
  `batch_samples` samples that are at most {span_s} s apart.
* 429, 5xx, a timeout or no connection: the same is sent again, after 0.5 s, then twice
  that, up to {pause_s} s, or after what `Retry-After` asks for, up to {asked_s} s. What
  is not taken for {retry_min} min is dropped.
* 400, 413 and 422 are about something in the request. It is halved, by series and then
  by time, until what is wrong stands alone; that is dropped, the rest is taken. So is
  a request that was answered 500 three times: Prometheus 2.42 answers so to samples
  that are too old where it takes some out of order.
* Any other answer (a redirect, 401, 403, 404) is about us: the request is dropped, and
  the next one waits as above.

Reasons in `loadprobe_remote_write_samples_dropped_total`: `queue_full`; `rejected`, by
a 400 or the like; `repeated`, the same of what was sent before and got no answer then,
so that it is probably stored; `refused`, by any other answer; `gave_up`; `ended`, with
the run. What goes wrong is told in the live view and in the API's status while it
lasts. `loadprobe check` sends an empty request and tells what the receiver says.

What falls short: samples that wait are lost with the process. There is no type or help
text with them, no remote write 2.0, no header of one's own (the tenant of Mimir) and no
proxy. Halving stops after 64 requests or an eighth of a series; what has no final
answer by then is dropped with what is wrong. Amazon's service itself has not been
tried, its signature has been compared with botocore's.

## Sizes

| what | series | bytes of a scrape |
|---|---|---|
| /metrics, 6 shards, 2 lanes, nothing failed | about 1,500 | 0.13 MB |
| /metrics, 20 shards, 2 lanes, every class and cause | about 9,800 | 0.9 MB |
| /metrics/ms, no failure and no plan for {window_s} s | 0 | 0 |
| /metrics/ms, one shard dark for 137 ms on one lane | 4 | 0.03 MB, for {window_s} s |
| /metrics/ms, 12 scopes, each failing in every millisecond | 12 | 18 MB, 0.4 MB sent |

In the last case {samples} samples are 10 s: scrape every 5 s to see them all. A thread
takes a tenth of a second to write such a page, and about 40 MB for that time. In memory
the supervisor keeps the samples of two such minutes, in 24 MB, and of ten minutes at
most.

## Reading them

* A gauge of 0 or 1 that is scraped once a second misses a short outage. Downtime is
  therefore a counter in seconds that moves in steps of 1 ms. Take the difference of
  two readings, `max_over_time(x[w]) - min_over_time(x[w])`: `increase()`
  extrapolates to the ends of its window and overstates.
* `loadprobe_dark_time_seconds_total` is the length of outages on the clock, whatever
  the rate of arrivals. It agrees with `summary.json` but for two things. Darkness by
  plan is in it, see below. And an outage of a client lane is cut where the witness's
  ends, which is done by the verdict only.
* `loadprobe_planned_dark_seconds_total` is the part of it that was by plan. Both are
  read from the same outages at the same moment, so it is never ahead. Downtime is
  `loadprobe_dark_time_seconds_total - loadprobe_planned_dark_seconds_total`: take the
  growth of each and subtract then. While an outage goes on past the end of the plan,
  up to a second of it is in the difference until it has ended, when the verdict's rule
  may count it as planned after all. A plan that a refused call revokes leaves what was
  counted until then.
* `loadprobe_outage_current_seconds - loadprobe_outage_current_planned_seconds` is 0 for
  an outage that is by plan as a whole, and says for how long another one is none.
* `loadprobe_unseen_time_seconds_total` is the blind time within outages, or at their
  edges. It is in no other counter of dark time: the truth lies between the dark time
  alone and the two together.
* Availability of a scope in a window is one minus the growth of
  `loadprobe_dark_time_seconds_total` without its planned part over the growth of
  `loadprobe_observed_time_seconds_total`.
* Counters describe sealed milliseconds only, so they run behind the clock by the
  deadline and `settle_ms`; what is counted once is never changed.
* The last second of a run is judged when it ends, and the pages end with it:
  Prometheus may never see it, nor the writes that were found lost after the load.
  `summary.json` has both.
* Labels are bounded: lanes, shards, nodes, classes. No key, worker or error text.
* There are no `_created` series.

And of the page of milliseconds:

* Series with timestamps of their own never go stale: an instant query shows the last
  sample for five minutes. Ask for ranges: `sum_over_time(loadprobe_cell_errors[1s])`,
  or the raw samples, `loadprobe_cell_errors[11s]`.
* A graph of them needs a step of 1 ms, and Prometheus returns 11,000 points at most:
  11 s.
* Every scrape repeats what is on the page. Prometheus drops samples that it has, and
  may log that they are out of order; nothing is lost by that.
* Prometheus 2.52.0 to 2.53.2 and 2.54.0 take only one sample of a series from a scrape
  (prometheus/prometheus#14503). Older and newer releases take them all. 2.42 is what
  the tests run.
* There are no native histograms. Prometheus scrapes them in its protobuf format, which
  the Python client library (0.26) does not write, nor any other that is kept up for
  Python. The buckets above are what there is.
"""


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
