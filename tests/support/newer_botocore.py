"""A service model of ElastiCache as a newer botocore has it, for clients of a test."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import botocore.loaders
import pytest

from loadprobe.control.provider import known_calls
from loadprobe.local.api.newer_model import with_newer

_VERSION = "2015-02-02"


@contextmanager
def newer_botocore(folder: Path) -> Iterator[None]:
    """Have every SDK client that is made meanwhile know migrations into caches.

    The SDK looks for models in ``AWS_DATA_PATH`` first, also in processes that are
    started meanwhile.

    Args:
        folder: where the model is written to.
    """
    installed = botocore.loaders.Loader().load_service_model("elasticache", "service-2")
    path = folder / "elasticache" / _VERSION / "service-2.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(with_newer(installed)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DATA_PATH", str(folder))
        known_calls.takes.cache_clear()
        try:
            yield
        finally:
            known_calls.takes.cache_clear()
