"""Parts of documents that are written by programs, between two marker lines. Pure."""


def between(page: str, begin: str, end: str, text: str) -> str:
    """Return the page with the part between two markers replaced.

    Raises:
        ValueError: the page does not have both markers, once each and in order.
    """
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page needs the lines {begin!r} and {end!r}, once each")
    before, _, rest = page.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise ValueError(f"the page has {end!r} before {begin!r}")
    return f"{before}{begin}\n{text}{end}{after}"
