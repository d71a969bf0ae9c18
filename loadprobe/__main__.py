"""``python -m loadprobe``: the same as the ``loadprobe`` command."""

from loadprobe.cli import main

if __name__ == "__main__":
    main()
