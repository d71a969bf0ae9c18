"""What a soak came to, and its page. Pure."""

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import fmean, median

import msgspec

from benchmarks.document import Curve
from benchmarks.markers import between
from benchmarks.soak.sampling import Sample
from loadprobe.outputs.page.recent import KEPT_S

BEGIN = "<!-- begin: written by make soak -->"
END = "<!-- end: written by make soak -->"
WARM_UP = 0.25
"""The share of the run that is left out where growth is told, at least."""
SETTLED_S = KEPT_S + 60.0
"""And so much: what is kept of the last minutes for a page is not full before."""
_BLOCKS = 20
_T_95 = {18: 2.101}
"""Student's t for 95 %, two-sided, by degrees of freedom (tables, for 20 blocks)."""
_MB = 1e6
_HOUR_S = 3_600.0


class Slope(msgspec.Struct, frozen=True):
    """A straight line through a figure, by the hour.

    Args:
        mean: of the figure.
        per_hour: its growth.
        half_width: of the 95 % confidence interval of that.
    """

    mean: float
    per_hour: float
    half_width: float

    @property
    def is_flat(self) -> bool:
        """Tell whether the interval reaches down to no growth, or to 2 % an hour."""
        return self.per_hour - self.half_width <= 0.02 * self.mean


class Soaked(msgspec.Struct, frozen=True):
    """A soak.

    Args:
        host: facts of the machine.
        seconds: how long the load flowed.
        done: kind of thing that was done -> how often.
        failed: what the cluster did not complete in time.
        stops: of servers, each on each witness and by reads and writes.
        missed: of them, those that were not told, in words.
        unseen: of them, those in which the probe said that it did not look.
        false: outages of witnesses where nothing was done, in words.
        strained: outages of witnesses where nothing was done but a server, or what
            watches it, did not get to run.
        outages: told, by lane.
        blind_ms: by lane.
        data: what the run found of the data: lost, stale, wrong.
        samples: one a second.
        reloaded: configurations that were read again while it ran.
        refused: those that had an error, and had to be refused.
        reload_problems: what went otherwise, in words.
    """

    host: dict[str, str]
    seconds: float
    done: dict[str, int]
    failed: tuple[str, ...]
    stops: int
    missed: tuple[str, ...]
    unseen: int
    false: tuple[str, ...]
    strained: int
    outages: dict[str, int]
    blind_ms: dict[str, float]
    data: dict[str, int | None]
    samples: tuple[Sample, ...]
    reloaded: int = 0
    refused: int = 0
    reload_problems: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Tell whether nothing was missed, false, lost or growing."""
        slopes = [slope for _, slope, _ in self.growth if slope is not None]
        return (
            not (self.missed or self.false or self.reload_problems)
            and not any(self.data.values())
            and self.unscraped == 0
            and all(slope.is_flat for slope in slopes)
        )

    @property
    def unscraped(self) -> int:
        """Return how many scrapes got no page."""
        return sum(sample.scrape_ms is None for sample in self.samples)

    @property
    def growth(self) -> list[tuple[str, Slope | None, str]]:
        """Return (what, its slope or None, unit) of all that has to be flat."""
        return [
            (name, slope_of(self.samples, read, self.warm_up_s), unit)
            for name, read, unit in (
                ("RSS of all processes", _rss_mb, "MB"),
                ("RSS of the supervisor", _supervisor_mb, "MB"),
                ("open files", _fds, ""),
                ("threads", _threads, ""),
                ("tasks of the event loops", _tasks, ""),
            )
        ]

    @property
    def warm_up_s(self) -> float:
        """Return how long at the start is left out where growth is told."""
        return max(WARM_UP * self.seconds, SETTLED_S)


def slope_of(
    samples: Sequence[Sample], read: Callable[[Sample], float | None], from_s: float
) -> Slope | None:
    """Return the line through a figure after a time, by means of 20 blocks.

    Neighbouring samples are alike, so blocks are taken for single values. None if there
    are too few samples; those without a figure are left out.

    Args:
        samples: by time.
        read: returns the figure of one.
        from_s: seconds since load began.
    """
    read_off = [(s.at_s, read(s)) for s in samples if s.at_s >= from_s]
    later = [(at_s, value) for at_s, value in read_off if value is not None]
    size = len(later) // _BLOCKS
    if size < 2:
        return None
    blocks = [later[at * size : (at + 1) * size] for at in range(_BLOCKS)]
    xs = [fmean(at_s for at_s, _ in block) / _HOUR_S for block in blocks]
    ys = [fmean(value for _, value in block) for block in blocks]
    x_mean, y_mean = fmean(xs), fmean(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    slope /= spread
    rest = sum(
        (y - y_mean - slope * (x - x_mean)) ** 2 for x, y in zip(xs, ys, strict=True)
    )
    free = _BLOCKS - 2
    return Slope(y_mean, slope, _T_95[free] * sqrt(rest / free / spread))


def _rss_mb(sample: Sample) -> float:
    return sample.rss_bytes / _MB


def _supervisor_mb(sample: Sample) -> float:
    return sample.supervisor_rss_bytes / _MB


def _fds(sample: Sample) -> float:
    return sample.fds


def _threads(sample: Sample) -> float:
    return sample.threads


def _tasks(sample: Sample) -> float | None:
    return sample.tasks


def with_soak(page: str, found: Soaked) -> str:
    """Return the page with the part between the markers made anew.

    Raises:
        ValueError: the page does not have both markers, once each and in order.
    """
    return between(page, BEGIN, END, "\n" + "\n\n".join(_parts(found)) + "\n\n")


def _parts(found: Soaked) -> list[str]:
    facts = ", ".join(f"{name} {fact}" for name, fact in found.host.items())
    done = ", ".join(f"{count} {kind}" for kind, count in found.done.items())
    return [
        f"{found.seconds / 60:.0f} minutes, on: {facts}.",
        f"Done: {done}. {len(found.failed)} of these the cluster did not complete.",
        told(found),
        *(f"* missed: {text}" for text in found.missed),
        *(f"* false: {text}" for text in found.false),
        *(f"* reload: {text}" for text in found.reload_problems),
        growth_table(found),
        "![Memory, open files, threads and the run folder over the run](img/soak.svg)",
    ]


def told(found: Soaked) -> str:
    """Return the table of what was told."""
    scrapes = [s.scrape_ms for s in found.samples if s.scrape_ms is not None]
    first, last = found.samples[0], found.samples[-1]
    grown = last.folder_bytes - first.folder_bytes
    rate = grown / max(1.0, last.at_s - first.at_s) / 1e3
    data = ", ".join(
        f"{what} {'not checked' if count is None else count}"
        for what, count in found.data.items()
    )
    rows = [
        ("stops of a server, by lane and op kind", f"{found.stops:,}"),
        ("of them not told", f"{len(found.missed)}"),
        ("of them in time that nobody saw", f"{found.unseen}"),
        ("outages of witnesses where nothing was done", f"{len(found.false)}"),
        ("the same while a server did not get to run", f"{found.strained}"),
        ("outages told", _by_lane(found.outages)),
        ("blind, s", _by_lane({k: v / 1e3 for k, v in found.blind_ms.items()})),
        ("data", data),
        ("configurations read again", _reloads(found)),
        ("scrapes without a page", f"{found.unscraped} of {len(found.samples)}"),
        (
            "both pages, ms: median, most",
            f"{median(scrapes):.0f}, {max(scrapes):.0f}" if scrapes else "-",
        ),
        ("run folder", f"{last.folder_bytes / 1e6:.1f} MB, {rate:.1f} kB/s"),
    ]
    return _table(("what", "figure"), rows)


def _reloads(found: Soaked) -> str:
    return (
        f"{found.reloaded} good ones, {found.refused} with an error; "
        f"{len(found.reload_problems)} went otherwise than they should"
    )


def _by_lane(values: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(f"{lane} {value:.0f}" for lane, value in values.items())


def growth_table(found: Soaked) -> str:
    """Return the table of what has to be flat."""
    rows = []
    for name, slope, unit in found.growth:
        if slope is None:
            rows.append((name, "-", "-", "too short to tell"))
            continue
        least, most = (slope.per_hour + sign * slope.half_width for sign in (-1.0, 1.0))
        verdict = "flat" if slope.is_flat else "GROWS"
        rows.append(
            (
                name,
                f"{slope.mean:.1f} {unit}".strip(),
                f"{slope.per_hour:+.2f} [{least:+.2f}, {most:+.2f}]",
                verdict,
            )
        )
    after = f"after the first {found.warm_up_s / 60:.0f} minutes"
    head = (after, "mean", "growth an hour [95 %]", "verdict")
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def curves(found: Soaked) -> list[Curve]:
    """Return what is drawn, by minutes."""

    def line(panel: str, label: str, read: Callable[[Sample], float]) -> Curve:
        step = max(1, len(found.samples) // 300)
        points = tuple((s.at_s / 60, read(s)) for s in found.samples[::step])
        return Curve("soak", panel, label, points)

    return [
        line("memory, MB", "all processes", _rss_mb),
        line("memory, MB", "supervisor", _supervisor_mb),
        line("open files, threads", "open files", _fds),
        line("open files, threads", "threads", _threads),
        line("run folder, MB", "bytes / 1e6", lambda s: s.folder_bytes / _MB),
    ]
