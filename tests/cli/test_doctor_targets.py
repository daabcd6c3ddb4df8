"""What `doctor` finds at the model servers before the start. Each answers as a small server of this process does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from router.cli.doctor_check import DoctorCheck
from router.cli.doctor_targets import ENDPOINTS_MAX, targets
from router.settings.loader import load
from tests.texts import golden

INFER: Final = "/v2/models/fraud/infer"


class ModelServer(BaseHTTPRequestHandler):
    """It has the model `fraud`, for callers with the right key."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = self.path == INFER and self.headers["X-Key"] == "a" and body == b"{}"
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), ModelServer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def found(tmp_path: Path, url: str, probe: str, more: str = "") -> list[DoctorCheck]:
    (tmp_path / "key").write_text("X-Key: a\n")
    (file := tmp_path / "router.toml").write_text(
        f'[services.fraud]\nactive = {{ version = "v1", endpoints = ["{url}"]{more} }}\nprobe = {probe}\n'
    )
    return [*targets(load(file))]


def test_a_server_that_answers_the_probe_is_good(tmp_path: Path, url: str) -> None:
    probe = f'{{ method = "POST", path = "{INFER}", body = "{{}}", expect_status_below = 400 }}'
    key = f', headers_file = "{tmp_path}/key"'
    assert found(tmp_path, url, probe, key) == [
        DoctorCheck("target fraud/v1", True, f"{url}: POST {INFER} passes as a probe")
    ]


def test_the_probe_of_another_model_fails_before_the_start(tmp_path: Path, url: str) -> None:
    probe = '{ method = "POST", path = "/v2/models/model/infer", body = "{}", expect_status_below = 400 }'
    (check,) = found(tmp_path, url, probe)
    detail = f"{url}: POST /v2/models/model/infer fails as a probe: status 404, expected below 400"
    assert check == DoctorCheck("target fraud/v1", False, detail, golden("doctor.correct_probe"))


def test_without_a_probe_a_connection_is_enough(tmp_path: Path, url: str) -> None:
    assert found(tmp_path, url, '"none"') == [DoctorCheck("target fraud/v1", True, f"{url} accepts connections")]


def test_a_headers_file_that_cannot_be_used_is_the_finding_of_another_check(tmp_path: Path, url: str) -> None:
    (check,) = found(tmp_path, url, '{ path = "/" }', f', headers_file = "{tmp_path}/missing"')
    assert (check.ok, check.detail) == (True, f"{url} accepts connections")


def test_a_server_that_is_away(tmp_path: Path) -> None:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{refusing.getsockname()[1]}"
        (check,) = found(tmp_path, away, '{ path = "/" }')
    assert (check.ok, check.detail, check.remedy) == (
        False,
        f"{away}: Connection refused",
        golden("doctor.start_server"),
    )


def test_many_replicas_are_not_all_asked(tmp_path: Path) -> None:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        port = refusing.getsockname()[1]
        urls = '", "'.join(f"http://127.0.0.{number}:{port}" for number in range(1, ENDPOINTS_MAX + 2))
        assert len(found(tmp_path, urls, '"none"')) == ENDPOINTS_MAX
