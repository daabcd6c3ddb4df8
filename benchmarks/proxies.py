"""The backend and the two proxies of Debian that we stand beside, each started from its committed configuration."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any, Final

from benchmarks.program import BenchmarkError, Program, free_port

CONF: Final = Path(__file__).parent / "conf"


class Nginx:
    """An nginx from one of our configurations: as the backend, or as a proxy before `backend`."""

    def __init__(self, conf: str, folder: Path, core: int | None, backend: int = 0) -> None:
        self.port = free_port()
        prefix = folder / f"{conf}-{self.port}"
        prefix.mkdir()
        path = _fill(conf, prefix, self.port, backend)
        self.program = Program(
            ["nginx", "-p", str(prefix), "-c", str(path), "-e", "stderr"],
            prefix / "log",
            cores=None if core is None else [core],
        )
        self.program.wait_for_port(self.port)

    def stop(self) -> None:
        self.program.stop()


class HAProxy:
    """HAProxy before `backend`."""

    def __init__(self, folder: Path, core: int, backend: int) -> None:
        self.port = free_port()
        prefix = folder / f"haproxy-{self.port}"
        prefix.mkdir()
        path = _fill("haproxy.cfg", prefix, self.port, backend)
        self.program = Program(["haproxy", "-db", "-f", str(path)], prefix / "log", cores=[core])
        self.program.wait_for_port(self.port)

    def stop(self) -> None:
        self.program.stop()


def check_same_work(port: int, proxy: str) -> None:
    """Raise unless the proxy on `port` does the header work that is compared, with and without an incoming id."""
    for sent in (None, "given-id"):
        headers = {"Content-Type": "application/json", "traceparent": "00-a-b-01"}
        if sent:
            headers["X-Request-ID"] = sent
        answer, seen = _ask(port, headers)
        host = f"127.0.0.1:{port}"
        got = seen.pop("x_request_id")
        expected = {
            "host": host,
            "x_forwarded_for": "127.0.0.1",
            "x_forwarded_proto": "http",
            "x_forwarded_host": host,
            "traceparent": "00-a-b-01",
        }
        connection = seen.pop("connection")
        if seen != expected or connection not in ("", "keep-alive"):
            raise BenchmarkError(f"{proxy} sent other headers to the backend: {seen}, connection {connection!r}")
        if not got or (sent and got != sent) or answer.get("x-request-id") != got:
            raise BenchmarkError(
                f"{proxy}: X-Request-ID {sent!r} became {got!r}, answered {answer.get('x-request-id')!r}"
            )
        if answer.get("x-served-version") != "v1":
            raise BenchmarkError(f"{proxy} does not say which version answered: {answer}")


def _ask(port: int, headers: dict[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/seen", body=b"{}", headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise BenchmarkError(f"/seen answered {response.status}: {body[:300]!r}")
        return {name.lower(): value for name, value in response.getheaders()}, json.loads(body)
    finally:
        connection.close()


def _fill(conf: str, prefix: Path, port: int, backend: int) -> Path:
    text = (CONF / conf).read_text().replace("@PORT@", str(port)).replace("@BACKEND@", str(backend))
    path = prefix / conf
    path.write_text(text)
    return path
