"""The certificates by which ElastiCache is to trust the source of a migration."""

from pathlib import Path

from loadprobe.control.scenario.migrate_keys import MigratePrepareStep
from loadprobe.errors import ControlError

_BEGIN = "-----BEGIN CERTIFICATE-----"


def read_certificate(step: MigratePrepareStep) -> str | None:
    """Return the text of ``source_ca_file``; None without one.

    Raises:
        ControlError: it cannot be read, or holds no certificate.
    """
    if step.source_ca_file is None:
        return None
    where = f"step {step.label}: source_ca_file {step.source_ca_file!r}"
    try:
        text = Path(step.source_ca_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ControlError(f"{where}: {exc}; give a file of PEM certificates") from exc
    if _BEGIN not in text:
        raise ControlError(f"{where} holds no certificate; give a file of PEM ones")
    return text
