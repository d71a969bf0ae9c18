"""A run without probes whose configuration is a text, to be read again."""

from collections.abc import Sequence
from pathlib import Path

from loadprobe.config.changes import ChangedKeys
from loadprobe.config.file import parse_config
from loadprobe.config.keys import Config, Target
from loadprobe.core.events import Event
from loadprobe.errors import UsageError
from loadprobe.run.credentials import HeldSecrets
from loadprobe.run.reloading import Reloading

SECRET = "hunter2-is-no-secret"
TEXT = """
[target]
host = "127.0.0.1"
port = {port}
password_file = "{folder}/password"

[[lanes]]
name = "tcp"
rate_per_s = 100
"""
SUCCESS = "config_last_reload_successful"
STAMP = "config_last_reload_success_timestamp_seconds"


class ReloadStage:
    """A run whose configuration is a text."""

    def __init__(self, folder: Path, *, port: int = 1) -> None:
        self.folder = folder
        (folder / "password").write_text(SECRET)
        self.text = TEXT.format(folder=folder, port=port)
        self.swapped: list[tuple[Config, Sequence[str]]] = []
        self.gone_over: list[tuple[Config, Sequence[str]]] = []
        self.problem: UsageError | None = None
        self.events: list[Event] = []
        self.gauges: dict[str, float] = {}
        self.held = HeldSecrets(SECRET, {})
        self.elsewhere: Target | None = None
        self.reloading = Reloading(
            self.read(),
            self.read,
            self.swap,
            go_over=self.go_over,
            emit=self.events.append,
            metrics=self,
            credentials=self,
        )

    def in_force(self, target: Target) -> Target:
        """Return the target whose references count."""
        return self.elsewhere or target

    def read(self) -> Config:
        """Read the configuration."""
        return parse_config(self.text, where="run.toml")

    async def swap(self, config: Config, what: ChangedKeys, held: HeldSecrets) -> None:
        """Take a configuration."""
        self.swapped.append((config, what.swapped))
        self.held = held

    async def go_over(self, config: Config, what: ChangedKeys) -> None:
        """Take a configuration into a new segment, unless there is a problem."""
        if self.problem is not None:
            raise self.problem
        self.gone_over.append((config, what.anew))

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Take a figure."""
        assert labels == ()
        self.gauges[metric] = value

    async def change(self, old: str, new: str) -> str:
        """Change the text and have it read; return what is said."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        return (await self.reloading.reload(by="alice")).text
