"""``python -m loadprobe``: the same as the ``loadprobe`` command."""

from loadprobe.cli.app import main

if __name__ == "__main__":
    main()
