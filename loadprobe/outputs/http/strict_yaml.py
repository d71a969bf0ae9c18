"""YAML of plain values, which says nothing twice."""

from collections.abc import Hashable
from typing import Any

import yaml

from loadprobe.errors import ConfigError


def load_yaml(text: str, *, where: str) -> Any:
    """Return what a document holds; None if it is empty.

    Args:
        text: the document.
        where: name of the file, for messages.

    Raises:
        ConfigError: it is not valid, or gives a key twice; no value is shown.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as exc:
        # Its own text would show the line, in which there may be a hash.
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else "?"
        problem = f"not valid YAML: {exc.problem} in line {line}"
        raise ConfigError(where, problem) from None
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ConfigError(where, f"not valid YAML: {type(exc).__name__}") from None


class _StrictLoader(yaml.SafeLoader):
    """Plain values only, and no key twice: the later one would win in silence."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, "a key is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
