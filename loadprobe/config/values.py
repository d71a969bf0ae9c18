"""Kinds of values that keys of several sections take."""

from typing import Annotated

from msgspec import Meta

LARGEST_PORT = 65535
Port = Annotated[int, Meta(ge=1, le=LARGEST_PORT)]
Ratio = Annotated[
    float, Meta(ge=0.0, le=1.0, description="a ratio from 0 to 1 (99.9 % is 0.999)")
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z",
        description="text: up to 32 of a-z, 0-9, - and _, the first a letter or digit",
    ),
]
Text = Annotated[str, Meta(min_length=1)]
