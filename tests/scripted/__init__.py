"""A scripted cluster: a server that fails on schedule and knows exactly when it did."""

from tests.scripted.faults import Fault, FaultKind, NodeCounts, TruthInterval
from tests.scripted.server import ActiveFault, ScriptedCluster, ScriptedClusterError

__all__ = [
    "ActiveFault",
    "Fault",
    "FaultKind",
    "NodeCounts",
    "ScriptedCluster",
    "ScriptedClusterError",
    "TruthInterval",
]
