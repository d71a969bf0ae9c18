"""What a comparison comes to, for machines and for people. Pure."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from loadprobe.core.parity.allowance import most_that_differ
from loadprobe.core.parity.coverage import NO_SLOTS, SlotSet
from loadprobe.core.parity.glimpse import DIFFERENCES, Finding
from loadprobe.core.parity.state import ParityTerms
from loadprobe.core.parity.tally import KeyExample, ParityTally, as_text

REPORT_VERSION = 1
_WORDS = {
    Finding.MISSING_IN_TARGET: "missing in target",
    Finding.MISSING_IN_SOURCE: "missing in source",
    Finding.TYPE: "another type",
    Finding.VALUE: "another value",
    Finding.TTL: "another TTL",
}


@dataclass(frozen=True, slots=True)
class ParityFigures:
    """What a report is made from.

    Args:
        terms: what was compared.
        tally: what was found.
        source_keys: keys of the source that were looked at.
        target_keys: keys of the target that were looked for in the source.
        unseen: slots that were being moved all the time.
        suspects: keys that were still to be looked at again.
        elapsed_s: how long it took.
        is_over: it came to its end.
    """

    terms: ParityTerms
    tally: ParityTally
    source_keys: int
    target_keys: int
    unseen: SlotSet
    suspects: int
    elapsed_s: float
    is_over: bool

    @property
    def is_complete(self) -> bool:
        """Tell whether every key was looked at."""
        return self.is_over and self.unseen == NO_SLOTS


def parity_document(figures: ParityFigures) -> dict[str, Any]:
    """Return the report for machines; keys are in it as text, and exactly in base64."""
    tally, terms = figures.tally, figures.terms
    return {
        "schema_version": REPORT_VERSION,
        "source": terms.source,
        "target": terms.target,
        "prefix": as_text(terms.prefix),
        "sample": terms.sample,
        "ttl_tolerance_s": terms.ttl_tolerance_s,
        "is_complete": figures.is_complete,
        "elapsed_s": round(figures.elapsed_s, 3),
        "keys": {"source": figures.source_keys, "target": figures.target_keys},
        "different": {
            "total": tally.different,
            **{_key(kind): _by_type(tally, kind) for kind in DIFFERENCES},
        },
        "not_comparable": _by_type(tally, Finding.NOT_COMPARABLE),
        "changing": tally.changing,
        "settled": tally.settled,
        "to_be_looked_at_again": figures.suspects,
        "unseen_slots": figures.unseen.bit_count(),
        "may_count_twice": tally.may_count_twice,
        "examples": [_example(each) for each in tally.examples],
    }


def parity_lines(figures: ParityFigures) -> list[str]:
    """Return the report for people."""
    tally, terms = figures.tally, figures.terms
    lines = [
        f"source {terms.source}: {figures.source_keys:,} keys looked at",
        f"target {terms.target}: {figures.target_keys:,} keys looked for in the source",
    ]
    lines += [_row(_WORDS[kind], _by_type(tally, kind)) for kind in DIFFERENCES]
    lines += _asides(figures)
    lines += [f"  {e.kind}: {as_text(e.key)} ({e.about})" for e in tally.examples]
    return [*lines, _verdict(figures)]


def _asides(figures: ParityFigures) -> list[str]:
    tally = figures.tally
    lines = []
    others = _by_type(tally, Finding.NOT_COMPARABLE)
    if others["total"]:
        lines.append(_row("not comparable", others))
    if tally.changing:
        lines.append(
            f"{'changing':<18} {tally.changing:>12,}  changed at every look: nothing "
            "can be said"
        )
    if tally.settled:
        lines.append(
            f"{'settled':<18} {tally.settled:>12,}  differed at first, and then no more"
        )
    if figures.unseen:
        lines.append(
            f"{figures.unseen.bit_count()} slots were moved or not served all the "
            "time: keys may have been missed"
        )
    if tally.may_count_twice:
        lines.append("so many differ that some may have been counted twice")
    return lines


def _verdict(figures: ParityFigures) -> str:
    tally, terms = figures.tally, figures.terms
    different = tally.different
    if different:
        words = f"{different:,} keys differ"
    elif terms.sample < 1 and figures.is_over:
        share = most_that_differ(min(figures.source_keys, figures.target_keys))
        words = f"no key of the sample differs: at most {share:.3%} of all do (95 %)"
    else:
        words = "no key differs"
    unsaid = tally.changing + tally.count_of(Finding.NOT_COMPARABLE)
    if unsaid:
        words += f"; of {unsaid:,} nothing can be said"
    if not figures.is_over:
        words += f", so far: not complete, {figures.suspects:,} to be looked at again"
    return f"Verdict: {words} ({figures.elapsed_s:,.0f} s)"


def _row(word: str, counts: dict[str, int]) -> str:
    types = ", ".join(f"{k} {n:,}" for k, n in counts.items() if k != "total")
    return f"{word:<18} {counts['total']:>12,}  {types}".rstrip()


def _key(kind: Finding) -> str:
    return kind.value.replace(" ", "_")


def _by_type(tally: ParityTally, kind: Finding) -> dict[str, int]:
    found = {
        type_name: count
        for (each, type_name), count in sorted(tally.counts.items())
        if each is kind
    }
    return {"total": sum(found.values()), **found}


def _example(example: KeyExample) -> dict[str, str]:
    return {
        "kind": example.kind,
        "key": as_text(example.key),
        "key_base64": b64encode(example.key).decode(),
        "about": example.about,
    }
