"""Whether this copy of loadprobe measures with its loop compiled."""

from loadprobe import clock

HOW = "compiled" if not clock.__file__.endswith(".py") else "python"
"""What runs for every arrival: ``compiled`` (an extension) or ``python``."""
