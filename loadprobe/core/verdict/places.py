"""Where something happened, in words: shards and lanes. Pure."""

from collections.abc import Collection, Iterable

_SHOWN = 4
"""So many shards or lanes are named; of more their number is told."""


def where_text(
    places: Iterable[tuple[str, str]],
    *,
    lanes: Collection[str],
    shards: Collection[str],
) -> str:
    """Return where: ``shard 0002, both lanes``; lanes only if there are several.

    Args:
        places: (lane, shard) of what happened.
        lanes: all lanes of the run.
        shards: all shards of the run.
    """
    found = list(places)
    parts = [_named("shard", {shard for _, shard in found}, shards)]
    if len(lanes) > 1:
        parts.append(_named("lane", {lane for lane, _ in found}, lanes))
    return ", ".join(parts)


def _named(noun: str, found: Collection[str], known: Collection[str]) -> str:
    if len(found) == 1:
        (name,) = found
        return f"{noun} {name}"
    if len(found) == len(known):
        return f"both {noun}s" if len(found) == 2 else f"all {len(found)} {noun}s"
    if len(found) > _SHOWN:
        return f"{len(found)} of {len(known)} {noun}s"
    ordered = [name for name in known if name in found]
    return f"{noun}s {', '.join(ordered)}"
