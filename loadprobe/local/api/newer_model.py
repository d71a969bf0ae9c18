"""What the installed service model lacks of migrations into serverless caches.

The control plane answers SDKs that are newer than the botocore it is installed with: of
four operations it has what they send and read. ``python -m tools.newer_model`` writes
the file from the model of such an SDK.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
OPERATIONS = (
    "PrepareMigration",
    "StartMigration",
    "StopMigration",
    "CompleteMigration",
)


def with_newer(model: dict[str, Any]) -> dict[str, Any]:
    """Return a service model that has the operations; one that has them as it is.

    Args:
        model: the document of botocore, which is not changed.
    """
    if all(name in model["operations"] for name in OPERATIONS):
        return model
    newer = json.loads(FILE.read_text())
    return {
        **model,
        "operations": model["operations"] | newer["operations"],
        "shapes": model["shapes"] | newer["shapes"],
    }
