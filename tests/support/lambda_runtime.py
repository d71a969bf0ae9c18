"""A small runtime API of Lambda on loopback, and the real client that asks it."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.paths import ROOT

_PREFIX = "/2018-06-01/runtime"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:loadprobe"


class LambdaRuntime:
    """Gives events to the runtime client, one after the other, and takes its answers.

    Attributes:
        port: where the runtime API is.
    """

    def __init__(self) -> None:
        self._events: queue.Queue[tuple[dict[str, Any], float]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """Give the next event, when there is one."""
                assert self.path == f"{_PREFIX}/invocation/next"
                event, left_s = runtime._events.get()
                body = json.dumps(event).encode()
                self.send_response(200)
                deadline_ms = int((time.time() + left_s) * 1000)
                for name, value in {
                    "Lambda-Runtime-Aws-Request-Id": "request-1",
                    "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                    "Lambda-Runtime-Invoked-Function-Arn": FUNCTION,
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                """Take an answer, or an error."""
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                runtime._answers.put((self.path.rsplit("/", 1)[1], body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def call(self, event: dict[str, Any], *, left_s: float = 900.0) -> Any:
        """Have the function handle an event; return what it answers."""
        self._events.put((event, left_s))
        kind, answer = self._answers.get(timeout=90)
        assert kind == "response", answer
        return answer

    def ask(self, method: str, path: str, **event: Any) -> tuple[int, dict[str, Any]]:
        """Have it handle a request of the function URL; return status and body."""
        http = {"method": method, "path": path}
        answer = self.call(
            {"version": "2.0", "requestContext": {"http": http}, **event}
        )
        assert answer["headers"]["Content-Type"] == "application/json"
        return answer["statusCode"], json.loads(answer["body"])

    def close(self) -> None:
        """Give no more events."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_function(**environment: str) -> Iterator[LambdaRuntime]:
    """Run deploy/lambda/handler.py under the runtime client of AWS."""
    runtime = LambdaRuntime()
    folder = str(ROOT / "deploy" / "lambda")
    client = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "handler.handler"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder}:{ROOT}",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.port}",
            "AWS_LAMBDA_FUNCTION_NAME": "loadprobe",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/loadprobe",
            "AWS_LAMBDA_LOG_STREAM_NAME": "1",
            "AWS_REGION": "eu-west-1",
            **environment,
        },
    )
    try:
        yield runtime
    finally:
        client.kill()
        client.wait()
        runtime.close()
