"""The router under test: its settings file, its processes, its admin API. Met as an operator meets it."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.program import BenchmarkError, Program, free_port, tree

START_TIMEOUT_S: Final = 90.0


class Router:
    """`python -m router run` with a settings file of its own; defaults except what `services` and `workers` say.

    `services` are TOML lines; `python` is the interpreter for which the router is installed. The router runs in a folder
    outside the checkout, so the installed package is what is measured.
    """

    def __init__(
        self,
        folder: Path,
        services: str,
        *,
        workers: int,
        cores: Iterable[int] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.workers = workers
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "router.toml"
        settings.write_text(
            f'listen = "127.0.0.1:{self.port}"\nadmin_listen = "127.0.0.1:{self.admin_port}"\n'
            f'workers = {workers}\nstate_dir = "{folder / "state"}"\n\n{services}'
        )
        command = [python, "-P", "-m", "router", "run", "--config", str(settings)]
        self.program = Program(command, folder / "router.log", cores=cores)
        self.admin = Admin(self.admin_port)
        try:
            self.wait_until(self._ready, "be ready")
        except BaseException:  # goes on up; only the started processes must not stay
            self.program.stop()
            raise

    def stop(self) -> None:
        self.admin.close()
        self.program.stop()

    def pids(self) -> dict[str, list[int]]:
        """Return the process ids by kind: `worker`, `control`, `all` (the supervisor and everything below it)."""
        status = self.admin.get("/v1/status")
        return {
            "worker": [worker["pid"] for worker in status["workers"]],
            "control": [status["control"]["pid"]],
            "all": tree(self.program.pid),
        }

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when `condition` holds; raise with its name after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.program.check_alive()
            if time.monotonic() > deadline:
                tail = self.program.log.read_text(errors="replace")[-2000:]
                raise BenchmarkError(f"the router did not {what} in {timeout_s:g} s:\n{tail}")
            time.sleep(0.05)

    def service(self, name: str = "default") -> dict[str, Any]:
        """Return the service's document of the admin API."""
        return self.admin.get(f"/v1/services/{name}")

    def _ready(self) -> bool:
        try:
            status = self.admin.get("/v1/status")
        except (OSError, http.client.HTTPException):
            self.admin.close()
            return False
        workers = [worker for worker in status["workers"] if worker["up"]]
        targets = [target for service in status["services"].values() for target in service["targets"]]
        return len(workers) == self.workers and bool(targets) and all(target["ready"] for target in targets)


class Admin:
    """A client of the admin API on one kept connection; safe to call from several threads, one at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._lock = threading.Lock()

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON of a read."""
        return self._call("GET", path, None)

    def post(self, path: str, **members: object) -> dict[str, Any]:
        """Return the JSON answer of a verb; raise BenchmarkError on a refusal."""
        return self._call("POST", path, members)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _call(self, method: str, path: str, members: dict[str, object] | None) -> dict[str, Any]:
        body = None if members is None else json.dumps(members)
        headers = {"Content-Type": "application/json"} if body else {}
        with self._lock:
            self._connection.request(method, path, body=body, headers=headers)
            response = self._connection.getresponse()
            document = response.read()
        if response.status >= 300:
            raise BenchmarkError(f"{method} {path} {body or ''}: {response.status} {document.decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(document)
        return answer


def service_toml(
    name: str, active: tuple[str, int], standby: tuple[str, int] | None = None, more: Sequence[str] = ()
) -> str:
    """Return the settings of one service: each version as (label, port of 127.0.0.1)."""
    lines = [f"[services.{name}]"]
    for role, seed in (("active", active), ("standby", standby)):
        if seed:
            lines.append(f'{role} = {{ version = "{seed[0]}", endpoints = ["http://127.0.0.1:{seed[1]}"] }}')
    return "\n".join([*lines, *more, "", ""])
