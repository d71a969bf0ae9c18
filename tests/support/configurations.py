"""A small configuration, and all keys that one may have."""

import msgspec

from loadprobe.config.file import parse_config
from loadprobe.config.keys import SECTIONS, Config

SMALLEST = '[target]\nhost = "db.example.com"\n\n[[lanes]]\nname = "tcp"\n'
FIELDS = [
    (section, field)
    for section, struct in SECTIONS.items()
    for field in msgspec.structs.fields(struct)
]
FIELD_IDS = [f"{section}.{field.name}" for section, field in FIELDS]


def with_environment(text: str = SMALLEST, **environ: str) -> Config:
    """Parse a configuration under an environment."""
    return parse_config(text, where="run.toml", environ=environ)
