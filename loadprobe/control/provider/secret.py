"""A value that must never be shown."""

from dataclasses import dataclass, field

MASK = "****"


@dataclass(frozen=True, slots=True)
class Secret:
    """Holds a password or token; its text forms are a mask.

    Args:
        value: what is kept; ``reveal`` is the only way to it.
    """

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """Return the value, to be sent and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__


def reveal(value: object) -> object:
    """Return a value with the secrets in it, for the wire."""
    return value.reveal() if isinstance(value, Secret) else value
