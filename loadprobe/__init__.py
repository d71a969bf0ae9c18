"""loadprobe: exactly how long was a cluster down while it was being changed."""

__version__ = "0.1.0"
