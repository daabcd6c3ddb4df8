"""Readiness, liveness, the front page."""

from __future__ import annotations

import pytest

from tests.control.conftest import AdminHarness


async def test_the_front_page_points_to_the_api(admin: AdminHarness) -> None:
    status, headers, page = await admin.call("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert 'href="v1/status"' in page


async def test_ready_lists_its_checks(admin: AdminHarness) -> None:
    admin.fake.service |= {"way_back": False, "no_way_back": "quarantined"}
    status, _, document = await admin.call("GET", "/readyz?verbose")
    assert (status, document) == (
        200,
        {
            "ready": True,
            "checks": [
                {"name": "workers", "ok": True, "detail": "2 of 2 workers accept"},
                {"name": "service fraud", "ok": True, "detail": "active: fraud-v2"},
            ],
            "degraded": ["service fraud: no_way_back (quarantined)"],
        },
    )


@pytest.mark.parametrize("broken", ["no worker", "draining", "no active"])
async def test_not_ready(admin: AdminHarness, broken: str) -> None:
    for worker in admin.fake.workers:
        worker["up"] = broken != "no worker"
        worker["draining"] = broken == "draining"
    if broken == "no active":
        admin.fake.service["active"] = None
    status, _, document = await admin.call("GET", "/readyz")
    assert (status, document["ready"]) == (503, False)
    assert (await admin.call("GET", "/livez"))[0] == 200
