"""Node types the control plane knows: labels, because servers here have no sizes.

Pure. The names are ElastiCache's; their order, from small to large, is ours.
"""

_SMALL = [
    f"cache.{family}.{size}"
    for size in ("micro", "small", "medium")
    for family in ("t3", "t4g")
]
_LARGE = [
    f"cache.{family}.{size}"
    for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge")
    for family in ("m5", "m6g", "m7g", "r5", "r6g", "r7g")
]
_BY_SIZE = (*_SMALL, *_LARGE)
DEFAULT_NODE_TYPE = "cache.t4g.micro"


def is_node_type(name: str) -> bool:
    """Tell whether there is a node type of that name."""
    return name in _BY_SIZE


def larger_types(name: str) -> list[str]:
    """Return the node types above one, smallest first."""
    return list(_BY_SIZE[_BY_SIZE.index(name) + 1 :])


def smaller_types(name: str) -> list[str]:
    """Return the node types below one, smallest first."""
    return list(_BY_SIZE[: _BY_SIZE.index(name)])
