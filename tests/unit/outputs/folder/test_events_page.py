"""The page of all events."""

from pathlib import Path

from loadprobe.outputs.folder.events_page import events_page

PAGE = Path(__file__).parents[4] / "docs" / "events.md"


def test_page() -> None:
    """docs/events.md is what the types say, word for word."""
    assert PAGE.read_text() == events_page()
