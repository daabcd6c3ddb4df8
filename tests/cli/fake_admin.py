"""An admin API that answers by a script and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class FakeAdmin:
    """`answer` scripts answers per method and path, in order; the last one is repeated. `asked` is what came."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, dict[str, Any] | None]] = []
        self.fields: list[dict[str, str]] = []
        self._script: dict[tuple[str, str], list[tuple[int, Any]]] = defaultdict(list)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, path: str, document: Any, status: int = 200) -> Self:
        self._script[method, path].append((status, document))
        return self

    def problem(self, method: str, path: str, status: int, code: str, detail: str, **facts: Any) -> Self:
        return self.answer(method, path, {"status": status, "code": code, "detail": detail, **facts}, status)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(fake) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.received.append((self.command, self.path, json.loads(body) if body else None))
                fake.fields.append(dict(self.headers))
                script = fake._script[self.command, self.path]
                status, document = script.pop(0) if len(script) > 1 else script[0]
                answer = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def target(version: str, role: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "version": version,
        "slot": 0,
        "role": role,
        "state": state,
        "ready": True,
        "endpoints": [{"url": f"http://{version}:80", "ready": True, "last_probe": None}],
        "good_probes": 5,
        "in_flight": 3,
        "waiting": 0,
        "oldest_waiting_s": 0.0,
        "totals": {"attempts": 12, "begun": 11, "rescued": 0, "outcomes": {}},
        "windows": {
            "10s": {
                "requests": 100,
                "faults": 1,
                "fault_rate": 0.01,
                "requests_per_s": 10.0,
                "p50_ms": 2.5,
                "p99_ms": 40.0,
            },
            "60s": None,
        },
        **more,
    }


def service(name: str = "default", **more: Any) -> dict[str, Any]:
    return {
        "service": name,
        "generation": 16777218,
        "state": "probation",
        "active": "green",
        "standby": "blue",
        "candidate": None,
        "way_back": True,
        "no_way_back": None,
        "frozen": None,
        "targets": [target("green", "active", "active"), target("blue", "standby", "standby")],
        "exchanges": {"accepted": 12, "in_flight": 3, "ended": {}},
        "rescued": 0,
        "last_switch": None,
        "verdict": {"state": "pass", "triggers": []},
        "baseline": None,
        "acceptance": {
            "accepted": False,
            "requests": 12,
            "requests_needed": 500,
            "seconds": 3.2,
            "seconds_needed": 600.0,
        },
        **more,
    }


def status(*services: dict[str, Any], **more: Any) -> dict[str, Any]:
    worker = {
        "index": 0,
        "pid": 7,
        "up": True,
        "heartbeat_age_s": 0.1,
        "loop_lag_s": 0.0,
        "connections": 1,
        "connections_total": 5,
        "starts": 1,
        "draining": False,
    }
    return {
        "version": "0.1.0",
        "build": "pure Python",
        "boot": 1,
        "control": {"pid": 6, "started_at": "2026-01-01T00:00:00.000Z", "starts": 1},
        "workers": [worker],
        "alarms": [],
        "settings": {"origin": "flags", "version": 1, "differences": []},
        "unmatched": {"accepted": 0, "ended": {}},
        "services": {document["service"]: document for document in services or (service(),)},
        **more,
    }
