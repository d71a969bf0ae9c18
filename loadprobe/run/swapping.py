"""What of a run is swapped for another configuration, and how."""

from collections.abc import Callable

import msgspec

from loadprobe.config.changes import ChangedKeys
from loadprobe.config.keys import Config
from loadprobe.run.credentials import FILES, CredentialWatch, HeldSecrets
from loadprobe.run.load import Measurement
from loadprobe.run.pacing import Pacing
from loadprobe.run.published import Published
from loadprobe.run.recording import Recording

_OF_TARGET = ("username", "password_file", "password_env", *FILES)


class Swap:
    """Swaps the configuration of a run whose load has begun.

    Args:
        config: what is run now; its endpoint may be one that the API told.
        measurement: the probes.
        pacing: decides on the rates.
        credentials: passwords and certificates.
        published: the webhooks and the error budget.
        recording: returns the recording.
    """

    def __init__(
        self,
        config: Config,
        *,
        measurement: Measurement,
        pacing: Pacing,
        credentials: CredentialWatch,
        published: Published,
        recording: Callable[[], Recording],
    ) -> None:
        self._config = config
        self._measurement = measurement
        self._pacing = pacing
        self._credentials = credentials
        self._published = published
        self._recording = recording

    async def __call__(
        self, config: Config, what: ChangedKeys, held: HeldSecrets
    ) -> None:
        """Run by another configuration from now on.

        Args:
            config: all of it.
            what: differs in it.
            held: what the references of its target hold.
        """
        before = self._config
        kept = {name: getattr(config.target, name) for name in _OF_TARGET}
        target = msgspec.structs.replace(before.target, **kept)
        if target.tunnel is None:
            # All who connect have this one table; open connections stay.
            target.address_map.clear()
            target.address_map.update(config.target.address_map)
        self._config = config = msgspec.structs.replace(config, target=target)
        self._measurement.tuning.configure_rates(config.lanes)
        self._measurement.tuning.change_deadlines(config.lanes)
        self._pacing.use(config.lanes, config.load)
        await self._credentials.change(self._credentials.in_force(target), held)
        if "target.address_map" in what.swapped:
            self._measurement.tuning.use_forwards()
        if what.under("webhooks"):
            await self._published.telling.use(config.webhooks)
        self._published.budgeting.use(self._config)
        self._recording().use_config(config)
