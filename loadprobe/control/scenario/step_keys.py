"""What every step of a scenario has, and the kinds of values that steps hold."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from loadprobe.config.keys import Name, Text

Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]
Deadline = Annotated[float, Meta(gt=0.0, le=86_400.0)]
Command = Annotated[
    tuple[Text, ...],
    Meta(min_length=1, description='a list of texts: ["program", "argument", ...]'),
]
Names = Annotated[
    tuple[Text, ...], Meta(min_length=1, description="a list of texts, at least one")
]


class BaseStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every step has.

    Args:
        operation: what is done; decides which further keys there are.
        name: unique in the scenario; the operation if absent.
        hold_before_s: load before the step, after the one before it.
        hold_after_s: load after the step has settled.
        deadline_s: the step has failed if it has not settled so long after its start.
    """

    is_mutation: ClassVar[bool] = True

    operation: Text
    name: Name | None = None
    hold_before_s: Seconds = 0.0
    hold_after_s: Seconds = 5.0
    deadline_s: Deadline = 3600.0

    @property
    def label(self) -> str:
        """Return the name, which a scenario that was read always has."""
        return self.name or self.operation
