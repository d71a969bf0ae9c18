"""An event, and what its line in the journal says: source, kind and fields."""

from loadprobe.core.events import Event

AT = 5
"""When all of these events are, in ns."""

Line = tuple[Event, str, str, str]
