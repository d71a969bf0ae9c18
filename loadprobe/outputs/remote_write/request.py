"""Samples as a request of Prometheus' remote write, version 1.0.

Pure. The message is protobuf, written by hand: it has four kinds of fields (the numbers
are those of prometheus/prompb/remote.proto and types.proto), and a sample is a few
bytes.

    WriteRequest  1 timeseries: TimeSeries, repeated
    TimeSeries    1 labels: Label, repeated, by name      2 samples: Sample, repeated
    Label         1 name: string                          2 value: string
    Sample        1 value: double                         2 timestamp: int64, UNIX ms

It is sent in snappy's block format, without its frames.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

from loadprobe.core.judging.ms_samples import MsSamples, MsSeries
from loadprobe.outputs.metrics.catalogue import MILLISECONDS
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
"""What every request of version 1.0 says of itself; 0.1.0 is how it is spelt there."""

_METRICS = {metric.name: metric for metric in MILLISECONDS}
# A tag is the number of the field and how it is written: 0 varint, 1 eight bytes,
# 2 length and bytes.
_FIRST_BYTES = b"\x0a"
_SECOND_BYTES = b"\x12"
_FIRST_DOUBLE = b"\x09"
_SECOND_VARINT = b"\x10"
_DOUBLE = struct.Struct("<d")


def write_request(
    batches: Iterable[MsSamples],
    *,
    cluster: str,
    shift_ms: int,
    extra_labels: Mapping[str, str],
) -> bytes:
    """Return the body of a request.

    Args:
        batches: the samples; those of a series come by time.
        cluster: name of the target.
        shift_ms: UNIX time of the monotonic zero.
        extra_labels: label -> value, of every series.
    """
    # Here, as most runs send nothing, and the compressor takes 1.7 MB.
    from cramjam import snappy

    by_series: dict[MsSeries, list[MsSamples]] = {}
    for batch in batches:
        by_series.setdefault(batch.series, []).append(batch)
    message = b"".join(
        _field(
            _FIRST_BYTES,
            _labels(series, cluster, extra_labels) + _samples(parts, shift_ms),
        )
        for series, parts in by_series.items()
    )
    return bytes(snappy.compress_raw(message))


def _labels(series: MsSeries, cluster: str, extra: Mapping[str, str]) -> bytes:
    metric = _METRICS[series.kind]
    names = (CLUSTER_LABEL, *metric.labels)
    labels = {
        **extra,
        **dict(zip(names, (cluster, *series.labels), strict=True)),
        "__name__": metric.full_name,
    }
    # A label without a value is none, and must not be sent.
    return b"".join(
        _field(
            _FIRST_BYTES,
            _field(_FIRST_BYTES, name.encode()) + _field(_SECOND_BYTES, value.encode()),
        )
        for name, value in sorted(labels.items())
        if value
    )


def _samples(batches: Sequence[MsSamples], shift_ms: int) -> bytes:
    return b"".join(
        _field(
            _SECOND_BYTES,
            _FIRST_DOUBLE + _DOUBLE.pack(value) + _SECOND_VARINT + varint(ms),
        )
        for batch in batches
        for ms, value in zip(
            (ms + shift_ms for ms in batch.ms), batch.values, strict=True
        )
    )


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def varint(number: int) -> bytes:
    """Return a number from 0 on, seven bits a byte, the lowest first."""
    if number < 0x80:
        return bytes((number,))
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
