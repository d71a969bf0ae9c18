"""The two text formats that Prometheus reads: text 0.0.4, and OpenMetrics 1.0.

Pure. Which of them a scraper gets, and the lines of the page of single milliseconds:
``prometheus_client`` writes no sample without an object, and that page has 120,000. The
library reads both formats in the tests.
"""

from collections.abc import Iterable, Sequence
from enum import Enum

from loadprobe.outputs.metrics.metric import CLUSTER_LABEL, Metric

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_TEXT_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Format(Enum):
    """A format, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def end(self) -> str:
        """Return the last line of a page."""
        return "# EOF\n" if self is Format.OPENMETRICS else ""


def choose_format(accept: str) -> Format:
    """Return the format that an Accept header prefers.

    Whatever cannot be understood gets plain text, which everyone reads.
    """
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.split(","):
        media_type, *raw = (part.strip().lower() for part in item.split(";"))
        if media_type not in weights:
            continue
        parameters = dict(part.partition("=")[::2] for part in raw)
        version = parameters.get("version", "1.0.0")
        if media_type != "text/plain" and version not in ("0.0.1", "1.0.0"):
            continue
        weight = _weight(parameters.get("q", "1"))
        weights[media_type] = max(weights[media_type], weight)
    openmetrics, text = weights.values()
    return Format.OPENMETRICS if 0.0 < openmetrics >= text else Format.TEXT


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0


def header(metric: Metric, form: Format) -> str:
    """Return the lines before the samples of a gauge."""
    is_openmetrics = form is Format.OPENMETRICS
    text = metric.help.translate(_ESCAPES if is_openmetrics else _TEXT_HELP_ESCAPES)
    name = metric.full_name
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"


def label_set(metric: Metric, cluster: str, labels: Sequence[str]) -> str:
    """Return the labels of a series, without braces.

    Raises:
        ValueError: the number of labels is not that of the catalogue.
    """
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has labels {metric.labels}, got {labels}")
    pairs = zip((CLUSTER_LABEL, *metric.labels), (cluster, *labels), strict=True)
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)


def timed_lines(
    name: str, labels: str, samples: Iterable[tuple[int, int]], form: Format
) -> str:
    """Return samples with explicit timestamps.

    Args:
        name: full name of the metric.
        labels: see ``label_set``.
        samples: (UNIX milliseconds, value), by time.
        form: text counts milliseconds, OpenMetrics seconds.
    """
    head = f"{name}{{{labels}}} "
    if form is Format.OPENMETRICS:
        lines = [f"{head}{v} {t // 1000}.{t % 1000:03d}\n" for t, v in samples]
    else:
        lines = [f"{head}{v} {t}\n" for t, v in samples]
    return "".join(lines)
