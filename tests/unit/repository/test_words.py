"""One meaning per word: no two classes of loadprobe have the same name."""

import ast
from collections import defaultdict

from tests.support.paths import ROOT

OF_EACH_LIBRARY = {"_Counted", "_Handle"}
"""What every client library's adapter has, and means the same in all of them."""


def test_no_class_name_twice() -> None:
    """Whoever reads a name knows what it is, wherever that is."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "loadprobe").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(ROOT)))
    assert len(found) > 100, "the classes were looked for in the wrong place"
    twice = {name: paths for name, paths in found.items() if len(paths) > 1}
    assert twice.keys() == OF_EACH_LIBRARY, twice
