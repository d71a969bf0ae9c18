"""`loadprobe check` and a bounded run as a Lambda function, with the verdict as JSON.

``GET /check`` (or the event ``{"do": "check"}``) says whether the cluster can be
measured; ``POST /run?seconds=60`` (``{"do": "run", "seconds": 60}``) measures it for so
long and gives the summary of the run, verdict first. Nothing of the cluster is changed.

Each request is a process of its own, with the command that people use: what it leaves
is gone with it, and a crash is told rather than suffered. Where the cluster is, and how
it is measured, is in the environment of the function (see the template).
"""

import base64
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

MOST_SECONDS = 600
SPARE_SECONDS = 60
"""For starting, prefilling, draining and the report of a run."""

_CHECK_SECONDS = 60
_WANTED = {"GET /check": "check", "POST /run": "run"}
_STATUS = {0: 200, 2: 503, 3: 200}
"""Exit code -> HTTP status: 2 is a target that cannot be used, 3 a threshold that was
missed, which is a verdict like another; anything else is a failure of ours."""

logger = logging.getLogger(__name__)


class BadRequest(Exception):
    """What was asked for cannot be done; the text says what can."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request: of the function URL, or of a direct call.

    Args:
        event: as above.
        context: of the runtime; how much time is left.
    """
    is_http = "requestContext" in event
    try:
        what, seconds = _asked(event, is_http=is_http)
        left_s = context.get_remaining_time_in_millis() // 1000
        if what == "run" and seconds + SPARE_SECONDS > left_s:
            raise BadRequest(
                f"{seconds} s and {SPARE_SECONDS} s around them do not fit into the "
                f"{left_s} s that are left; ask for less"
            )
        status, answer = _check() if what == "check" else _run(seconds, left_s)
    except BadRequest as exc:
        status, answer = 400, {"error": str(exc)}
    if not is_http:
        return {"status": status, **answer}
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps(answer),
    }


def _asked(event: Mapping[str, Any], *, is_http: bool) -> tuple[str, int]:
    """Return what is to be done, and for how many seconds."""
    if is_http:
        http = event["requestContext"]["http"]
        path = f"{http['method']} {http['path'].rstrip('/')}"
        what = _WANTED.get(path)
        given = (event.get("queryStringParameters") or {}).get("seconds")
        if given is None and event.get("body"):
            given = _body_of(event).get("seconds")
    else:
        path, what, given = str(event.get("do")), event.get("do"), event.get("seconds")
    if what not in ("check", "run"):
        raise BadRequest(f"{path!r} is neither of {', '.join(_WANTED)}")
    text = str(60 if given is None else given)
    seconds = int(text) if re.fullmatch(r"\d{1,4}", text, re.ASCII) else 0
    if not 1 <= seconds <= MOST_SECONDS:
        raise BadRequest(f"seconds is {text[:20]!r}; expected 1 to {MOST_SECONDS}")
    return what, seconds


def _body_of(event: Mapping[str, Any]) -> dict[str, Any]:
    try:
        body = event["body"]
        body = base64.b64decode(body) if event.get("isBase64Encoded") else body
        found = json.loads(body)
    except ValueError as exc:
        raise BadRequest(f"the body is no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise BadRequest('the body is no object; expected {"seconds": 60}')
    return found


def _check() -> tuple[int, dict[str, Any]]:
    """Check, and return what was found, or else what was said."""
    with tempfile.TemporaryDirectory() as folder:
        config = _write_config(Path(folder))
        words = ("check", str(config), "--json")
        code, shown, said = _loadprobe(*words, within_s=_CHECK_SECONDS)
    answer: dict[str, Any] = {"ready": code == 0, "exit_code": code}
    try:
        answer["checks"] = json.loads(shown)["checks"]
    except ValueError:
        answer["said"] = f"{shown}{said}".splitlines()
    return _STATUS.get(code, 500), answer


def _run(seconds: int, left_s: int) -> tuple[int, dict[str, Any]]:
    """Measure, and return the verdict before all else of the summary."""
    with tempfile.TemporaryDirectory() as folder:
        config = _write_config(Path(folder))
        words = ("run", str(config), "--for", f"{seconds}s")
        code, shown, said = _loadprobe(*words, within_s=left_s - 5)
        found = sorted(Path(folder).glob("runs/*/summary.json"))
        summary = json.loads(found[-1].read_bytes()) if found else {}
    answer: dict[str, Any] = {
        name: summary.get(name) for name in ("state", "headline", "verdict")
    }
    answer["exit_code"] = code
    answer |= (
        {"summary": summary} if summary else {"said": f"{shown}{said}".splitlines()}
    )
    return _STATUS.get(code, 500), answer


def _loadprobe(*words: str, within_s: float) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what is on its two outputs."""
    # The runtime finds packages by a path of its own, which it does not pass on.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    secret = os.environ.get("PASSWORD_SECRET")
    if secret:
        environment["PASSWORD"] = _read_secret(secret)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "loadprobe", *words],
            env=environment,
            capture_output=True,
            timeout=within_s,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired as exc:
        shown = (exc.stdout or b"").decode(errors="replace")
        return 1, shown, f"not at its end within {within_s:g} s, so it was ended"
    logger.info("%s: exit code %d", words[0], done.returncode)
    return done.returncode, done.stdout, done.stderr


def _read_secret(arn: str) -> str:
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - slow, and seldom needed

    client = boto3.client("secretsmanager")
    text: str = client.get_secret_value(SecretId=arn)["SecretString"]
    return text


def _write_config(folder: Path) -> Path:
    """Write the configuration that the environment asks for."""
    given = os.environ
    target: dict[str, Any] = {
        "host": given["TARGET_HOST"],
        "port": int(given.get("TARGET_PORT", "6379")),
        "cluster": given.get("TARGET_CLUSTER", "true") == "true",
    }
    if given.get("PASSWORD_SECRET"):
        target["password_env"] = "PASSWORD"  # noqa: S105 - the name of a variable
        if given.get("TARGET_USER", "default") != "default":
            target["username"] = given["TARGET_USER"]
    mode = given.get("TLS_MODE", "required")
    rate = int(given.get("RATE_PER_SECOND", "200"))
    lane = {"workers": 20, "rate_per_s": rate, "keys": 1000}
    lanes = {"tcp": {}, "tls": {"tls": True}}
    if mode != "preferred":
        lanes.pop("tcp" if mode == "required" else "tls")
    config = {
        "name": "lambda",
        "target": target,
        "http": {"listen": ""},
        "output": {"dir": str(folder / "runs")},
        "lanes": [{"name": name, **lane, **more} for name, more in lanes.items()],
    }
    path = folder / "loadprobe.toml"
    path.write_text(tomli_w.dumps(config))
    return path
