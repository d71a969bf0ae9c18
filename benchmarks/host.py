"""The machine that measured, for pages of figures."""

import os
import platform


def host_facts() -> dict[str, str]:
    """Return name -> fact; the load is that of now."""
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
