"""A real MLflow tracking server, with its registry in SQLite, started and stopped by the tests that need one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.end_to_end.real_router import free_port

START_TIMEOUT_S = 120.0
_QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class MlflowServer:
    """One running server. `hang` stops its processes, which then take connections and answer nothing."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process = process
        self.url = url

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
        address = f"{self.url}/api/2.0/mlflow/{path}"
        answer = httpx.request(method, address, json=body, params=query or None, timeout=10)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def add(self, name: str, endpoints: str) -> str:
        """Make the next version of a registered model; return its number."""
        tags = [{"key": "rollback_router.endpoints", "value": endpoints}]
        body = {"name": name, "source": f"s3://models/{name}", "tags": tags}
        return str(self.call("POST", "model-versions/create", body)["model_version"]["version"])

    def tags(self, name: str, number: str) -> dict[str, str]:
        version = self.call("GET", "model-versions/get", name=name, version=number)["model_version"]
        return {tag["key"]: tag["value"] for tag in version.get("tags", [])}

    def alias(self, name: str, alias: str) -> str:
        return str(self.call("GET", "registered-models/alias", name=name, alias=alias)["model_version"]["version"])

    def hang(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)


@contextmanager
def running(folder: Path) -> Iterator[MlflowServer]:
    """Start one in a session of its own; end that session afterwards."""
    port = free_port()
    words = ["server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder)]
    words += ["--no-serve-artifacts", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("mlflow")), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ | _QUIET,
            start_new_session=True,
        )
    server = MlflowServer(process, f"http://127.0.0.1:{port}")
    try:
        end = time.monotonic() + START_TIMEOUT_S
        while not _healthy(server.url):
            assert process.poll() is None, (folder / "mlflow.log").read_text()
            assert time.monotonic() < end, (folder / "mlflow.log").read_text()
            time.sleep(0.1)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
