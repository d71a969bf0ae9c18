"""New connections beside the load: apart from its figures, judged by the same rules.

Pure. An established connection that is served says nothing of a server that takes no
new one, and the reverse; so neither counts in the downtime of the other.
"""

from collections.abc import Mapping
from dataclasses import replace

from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.judging.results import Results


def split(results: Results) -> tuple[Results, Results]:
    """Return the results of the load, and those of new connections."""
    return _part(results, is_apart=False), _part(results, is_apart=True)


def _part(results: Results, *, is_apart: bool) -> Results:
    def own(
        histograms: Mapping[OpKind, Histogram],
    ) -> dict[OpKind, Histogram]:
        return {op: h for op, h in histograms.items() if op.is_apart is is_apart}

    return replace(
        results,
        scope_totals={
            scope: totals
            for scope, totals in results.scope_totals.items()
            if scope.op.is_apart is is_apart
        },
        lane_totals={
            lane: replace(
                totals, response=own(totals.response), service=own(totals.service)
            )
            for lane, totals in results.lane_totals.items()
        },
        outages=[o for o in results.outages if o.scope.op.is_apart is is_apart],
    )
