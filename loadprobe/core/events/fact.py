"""What all kinds of events have in common. Pure."""

import msgspec

TAG_FIELD = "event"
"""Under this key msgspec finds the kind; in a line it is ``source`` and ``kind``."""


class Fact(msgspec.Struct, frozen=True, tag_field=TAG_FIELD):
    """Something that happened beside the load.

    A kind's tag is "source/kind", as in a line of the journal. Where one kind of line
    is two types, what tells them apart follows: "source/kind/variant".

    Its fields are those of the line, in their order; plain values only, never a secret.

    Args:
        mono_ns: when it happened (or was seen), monotonic.
    """

    mono_ns: int
