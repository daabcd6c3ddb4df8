"""Links are signed by a secret of the state directory, for one proposal, one verb and one expiry."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from router.control.monitors.alarms import Alarms
from router.control.proposals import links as proposal_links
from router.control.proposals.links import SECRET, SECRET_BYTES, ProposalLinks, base_url
from router.rollout.proposals.proposal import Proposal
from router.settings.settings import Settings
from tests.control.conftest import token

OPEN = Proposal("svc-rollback-1", "rollback", "v1", "v1", "v2", "slow", "verdict", 0.0, 1800.7, 1800.7, 1, "hold")
LINKS = ProposalLinks(b"k" * SECRET_BYTES)


def signature(proposal: Proposal = OPEN, verb: str = "approve", links: ProposalLinks = LINKS) -> str:
    return links.path(proposal, verb).rpartition("/")[2]


def test_a_link_names_what_it_is_for() -> None:
    assert LINKS.path(OPEN, "approve") == f"/decide/svc-rollback-1/approve/1800/{signature()}"
    assert re.fullmatch("[0-9a-f]{64}", signature())
    assert LINKS.verify(OPEN, "approve", 1800, signature())


@pytest.mark.parametrize(
    ("proposal", "verb", "until_s", "signed"),
    [
        pytest.param(OPEN, "deny", 1800, signature(), id="another verb"),
        pytest.param(OPEN, "approve", 1801, signature(), id="another expiry in the address"),
        pytest.param(
            replace(OPEN, expires_at=1900.0), "approve", 1800, signature(), id="another expiry of the proposal"
        ),
        pytest.param(replace(OPEN, id="svc-rollback-2"), "approve", 1800, signature(), id="another proposal"),
        pytest.param(OPEN, "approve", 1800, signature(links=ProposalLinks(b"x" * 32)), id="another secret"),
        pytest.param(OPEN, "approve", 1800, signature()[:-1], id="cut off"),
        pytest.param(OPEN, "approve", 1800, "", id="unsigned"),
        pytest.param(OPEN, "approve", 1800, "é" * 64, id="not ASCII"),
    ],
)
def test_another_link_is_not_ours(proposal: Proposal, verb: str, until_s: int, signed: str) -> None:
    assert not LINKS.verify(proposal, verb, until_s, signed)


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({}, "http://127.0.0.1:8081"),
        ({"admin_listen": "127.0.0.1:9", "admin": {"tls": {"certificate": "c.pem"}}}, "https://127.0.0.1:9"),
        ({"admin": {"public_url": "https://r.example.com/"}}, "https://r.example.com"),
        ({"admin": {"public_url": "https://example.com/r"}}, "https://example.com/r"),
    ],
)
def test_links_begin_where_people_reach_us(settings: dict[str, object], base: str) -> None:
    settings = Settings.model_validate(settings)
    assert base_url(settings) == base
    links = LINKS.links(OPEN, settings)
    assert links == {verb + "_url": base + LINKS.path(OPEN, verb) for verb in ("approve", "deny")}


@pytest.mark.parametrize("url", ["r.example.com", "ftp://x", "https://a b", "https://x/?a=1", "https://x/#a"])
def test_a_public_url_is_a_url(url: str) -> None:
    with pytest.raises(ValueError, match="write it as https"):
        Settings.model_validate({"admin": {"public_url": url}})


def test_what_is_decided_has_no_links_and_a_promotion_no_approval_without_a_name() -> None:
    none = {"approve_url": None, "deny_url": None}
    assert LINKS.links(replace(OPEN, state="denied"), Settings()) == none
    assert LINKS.links(replace(OPEN, state="due"), Settings()) == none
    promotion = replace(OPEN, kind="promotion")
    assert LINKS.links(promotion, Settings())["approve_url"] is not None
    people = Settings.model_validate({"admin": {"tokens": [token("ann", "operator")]}})
    links = LINKS.links(promotion, people)
    assert (links["approve_url"], links["deny_url"] is None) == (None, False)


def test_the_secret_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    alarms = Alarms()
    first = proposal_links.opened(tmp_path, alarms)
    assert (tmp_path / SECRET).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [SECRET]
    assert proposal_links.opened(tmp_path, alarms).path(OPEN, "deny") == first.path(OPEN, "deny")
    assert ProposalLinks((tmp_path / SECRET).read_bytes()).path(OPEN, "deny") == first.path(OPEN, "deny")
    assert alarms.listing() == []


def test_a_secret_that_is_none_is_moved_aside_with_an_alarm(tmp_path: Path) -> None:
    (tmp_path / SECRET).write_bytes(b"short")
    alarms = Alarms()
    proposal_links.opened(tmp_path, alarms)
    assert [alarm["code"] for alarm in alarms.listing()] == ["links_invalid"]
    assert sorted(os.listdir(tmp_path)) == ["proposal-links.key", "proposal-links.unusable"]
    assert len((tmp_path / SECRET).read_bytes()) == SECRET_BYTES


def test_without_a_place_for_the_secret_the_router_starts_all_the_same(tmp_path: Path) -> None:
    alarms = Alarms()
    links = proposal_links.opened(tmp_path / "missing", alarms)
    assert links.verify(OPEN, "deny", 1800, signature(verb="deny", links=links))
    [alarm] = alarms.listing()
    assert (alarm["code"], "next start" in alarm["detail"]) == ("links_invalid", True)
