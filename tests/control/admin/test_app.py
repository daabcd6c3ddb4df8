"""The middleware around every route."""

from __future__ import annotations

import pytest

from router.control.core.operations import Operations
from router.control.views.queries import Queries
from tests.control.conftest import AdminHarness
from tests.control.fake_control import FakeControl


async def test_a_bug_is_a_500_that_shows_nothing_and_a_log_line_that_shows_all(
    admin: AdminHarness, caplog: pytest.LogCaptureFixture
) -> None:
    admin.fake.crash = RuntimeError("secret 42")
    for method, path, how in (
        ("GET", "/v1/status", {}),
        ("POST", "/v1/services/fraud/freeze", {"json": {}}),
        ("GET", "/metrics", {}),
        ("GET", "/readyz", {}),
    ):
        status, headers, problem = await admin.call(method, path, headers={"X-Request-ID": "bug-1"}, **how)
        assert (status, problem["code"], headers["X-Request-ID"]) == (500, "internal", "bug-1")
        assert "secret" not in str(problem)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4
    assert "RuntimeError: secret 42" in caplog.text
    assert "bug-1" in caplog.text


async def test_a_request_id_is_kept_if_it_is_one_and_made_if_not(admin: AdminHarness) -> None:
    for path in ("/", "/livez", "/readyz", "/metrics", "/v1/status", "/v1/nothing"):
        _, headers, _ = await admin.call("GET", path, headers={"X-Request-ID": "abc-1"})
        assert headers["X-Request-ID"] == "abc-1"
        for unusable in ("", "a b", "x" * 129):
            _, headers, _ = await admin.call("GET", path, headers={"X-Request-ID": unusable})
            assert len(headers["X-Request-ID"]) == 32


async def test_head_is_answered_without_a_body(admin: AdminHarness) -> None:
    status, headers, text = await admin.call("HEAD", "/v1/services/fraud")
    assert (status, headers["ETag"], text) == (200, '"16777218"', None)


def test_the_fake_has_every_verb_that_the_admin_asks_for() -> None:
    wanted = {name for real in (Operations, Queries) for name in vars(real) if not name.startswith(("_", "set_"))} - {
        "decide",
        "repeated",
    }
    assert {name for name in wanted if not callable(getattr(FakeControl, name, None))} == set()
