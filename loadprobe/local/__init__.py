"""A real local cluster and a control plane that speaks the ElastiCache API."""

from loadprobe.local.background import down, status, up
from loadprobe.local.cluster import LocalCluster
from loadprobe.local.control_plane import ControlPlane
from loadprobe.local.plane import Knobs
from loadprobe.local.serve import LocalOptions, serve
from loadprobe.local.state import LocalState

__all__ = [
    "ControlPlane",
    "Knobs",
    "LocalCluster",
    "LocalOptions",
    "LocalState",
    "down",
    "serve",
    "status",
    "up",
]
