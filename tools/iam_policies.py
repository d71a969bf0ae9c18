"""Writes deploy/iam: one IAM policy for each thing that is done, from the table."""

import json
from pathlib import Path

from loadprobe.control.permissions.grants import GRANTS, SERVERLESS_GRANTS
from loadprobe.control.permissions.policy import (
    GroupName,
    allow,
    make_policy,
    make_statements,
    node_metrics,
)

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "iam"
_PLACE = GroupName("GROUP", "REGION", "ACCOUNT")
"""What a person puts in."""


def serverless_file(purpose: str) -> str:
    """Return the name of the file for something done to a serverless cache."""
    return f"serverless_{purpose.removesuffix('_serverless')}"


def make_policies() -> dict[str, str]:
    """Return the text of every file by its name."""
    documents = {name: make_statements([name], _PLACE) for name in GRANTS}
    documents |= {
        serverless_file(name): make_statements([name], _PLACE, SERVERLESS_GRANTS)
        for name in SERVERLESS_GRANTS
    }
    documents["metrics"] = [node_metrics()]
    documents["login"] = [
        allow(
            ["elasticache:Connect"],
            [_PLACE.arn_of("replicationgroup:GROUP"), _PLACE.arn_of("user:USER")],
        )
    ]
    return {
        f"{name}.json": json.dumps(make_policy(statements), indent=2) + "\n"
        for name, statements in documents.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in make_policies().items():
        (FOLDER / name).write_text(text)
