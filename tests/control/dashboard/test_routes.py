"""How the files of the dashboard are sent: policy, entity tags, compression, and how long a browser may keep them."""

from __future__ import annotations

import pytest

from router.control.dashboard.routes import POLICY, takes_gzip
from router.control.dashboard.static_files import FOLDER, load
from tests.control.conftest import AdminHarness

FILES = load()


async def test_the_page_is_sent_with_its_policy_and_asked_for_again(admin: AdminHarness) -> None:
    status, headers, text = await admin.call("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"] == POLICY
    assert (headers["Cache-Control"], headers["Vary"]) == ("no-cache", "Accept-Encoding")
    assert f"dashboard/dashboard.js?v={FILES.version}" in str(text)
    status, again, text = await admin.call("GET", "/", headers={"If-None-Match": headers["ETag"]})
    assert (status, again["ETag"], again["Content-Security-Policy"], text) == (304, headers["ETag"], POLICY, "")
    assert "Content-Encoding" not in again


@pytest.mark.parametrize("tags", ['"other"', 'W/"other", "another"', ""])
async def test_another_entity_tag_gets_the_page(admin: AdminHarness, tags: str) -> None:
    assert (await admin.call("GET", "/", headers={"If-None-Match": tags}))[0] == 200


async def test_a_file_may_be_kept_for_good_only_with_the_present_hash(admin: AdminHarness) -> None:
    for query, kept in (
        (f"?v={FILES.version}", "public, max-age=31536000, immutable"),
        ("", "no-cache"),
        ("?v=old", "no-cache"),
    ):
        status, headers, _ = await admin.call("GET", f"/dashboard/dom.js{query}")
        assert (status, headers["Content-Type"], headers["Cache-Control"]) == (
            200,
            "text/javascript; charset=utf-8",
            kept,
        )
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_other_answers_are_not_kept(admin: AdminHarness) -> None:
    for path in ("/v1/status", "/livez", "/dashboard/none.js"):
        assert (await admin.call("GET", path))[1]["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["none.js", "index.html", "..%2Froutes.py", "%2e%2e%2f__init__.py", "dom.js%00"])
async def test_only_files_of_the_page_are_sent(admin: AdminHarness, name: str) -> None:
    status, _, problem = await admin.call("GET", f"/dashboard/{name}")
    assert (status, problem["code"]) == (404, "path_unknown")


async def test_a_browser_that_takes_gzip_gets_it(admin: AdminHarness) -> None:
    for name in sorted(path.name for path in FOLDER.iterdir() if path.name != "index.html"):
        async with admin.session.get(
            f"{admin.url}/dashboard/{name}", headers={"Accept-Encoding": "br, gzip"}
        ) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert await response.read() == FILES.files[name].plain
        async with admin.session.get(
            f"{admin.url}/dashboard/{name}", headers={"Accept-Encoding": "identity"}
        ) as response:
            assert "Content-Encoding" not in response.headers
            assert int(response.headers["Content-Length"]) == len(FILES.files[name].plain)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("gzip; q=1.0", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br, deflate", False),
        ("gzipped", False),
        ("", False),
    ],
)
def test_gzip_is_named_with_a_weight_above_zero(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


async def test_head_has_the_fields_of_the_page(admin: AdminHarness) -> None:
    status, headers, text = await admin.call("HEAD", "/")
    assert (status, headers["Content-Security-Policy"], text) == (200, POLICY, "")
