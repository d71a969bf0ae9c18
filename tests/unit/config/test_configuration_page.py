"""The page docs/configuration.md has all keys, and no others."""

import re

import msgspec
import pytest

from loadprobe.config.file import describe_key
from tests.support.configurations import FIELD_IDS, FIELDS
from tests.support.paths import ROOT


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=FIELD_IDS)
def test_the_page_lists_every_key(
    section: str, field: msgspec.structs.FieldInfo
) -> None:
    """docs/configuration.md has every key with its values, default and reason."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    heading = {
        "": "Top of the file",
        "lanes": "`[[lanes]]`",
        "webhooks": "`[[webhooks]]`",
    }.get(section, f"`[{section}]`")
    part = text.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    values = describe_key(section, field.name)
    default = shown_default(field)
    row = f"\n| `{field.name}` | {values} | {default} | "
    assert row in part
    assert len(part.partition(row)[2].partition(" |\n")[0]) > 5


def test_the_page_lists_no_other_key() -> None:
    """docs/configuration.md has no key that is not there."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(field.name for _, field in FIELDS)


def shown_default(field: msgspec.structs.FieldInfo) -> str:
    """Return a default as the page shows it."""
    if field.required:
        return "required"
    default = (
        field.default
        if field.default_factory is msgspec.NODEFAULT
        else field.default_factory()
    )
    if default is None or default == ():
        return "not set"
    if isinstance(default, msgspec.Struct):
        return "the defaults below"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"
