"""The ``loadprobe`` command, and ``python -m loadprobe``, which is the same."""

import sys

from loadprobe import hangup


def main() -> None:
    """Run a command; a run holds SIGHUP before anything else is imported."""
    if sys.argv[1:2] == ["run"]:
        hangup.hold()
    from loadprobe.cli.app import main as run_command  # noqa: PLC0415 - it is slow

    run_command()


if __name__ == "__main__":
    main()
