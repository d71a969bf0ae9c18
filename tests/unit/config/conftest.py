"""What all tests of the configuration need."""

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove LOADPROBE_ variables, of which the machine may have some."""
    for name in os.environ:
        if name.startswith("LOADPROBE_"):
            monkeypatch.delenv(name)
