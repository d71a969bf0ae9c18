"""A real local cluster and a control plane that speaks the ElastiCache API."""

from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.injection import FaultPlan, Injection
from loadprobe.local.api.plane import Knobs
from loadprobe.local.background import down, list_groups, status, up
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.serve import LocalOptions, serve
from loadprobe.local.state import LocalGroupState, LocalState

__all__ = [
    "ControlPlane",
    "FaultPlan",
    "Injection",
    "Knobs",
    "LocalCluster",
    "LocalGroupState",
    "LocalOptions",
    "LocalState",
    "down",
    "list_groups",
    "serve",
    "status",
    "up",
]
