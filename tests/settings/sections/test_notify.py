"""What a `[[notify]]` may hold; its address never appears in a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from router.errors import StartError
from router.settings.loader import load
from router.settings.sections.notify import TOPICS, Channel
from router.settings.settings import Settings
from router.settings.shown import shown

HOOK: dict[str, Any] = {"name": "ops", "kind": "webhook", "url": "https://hooks.example.com/T0/secret"}


def test_a_channel_is_told_of_everything_that_matters() -> None:
    assert Channel.model_validate(HOOK).events == list(TOPICS)
    assert set(TOPICS) == {"rollback", "switch", "no_better_target", "proposal", "drill", "incident", "alarm"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"url": None}, "needs either url or url_file", id="no address"),
        pytest.param({"url_file": "/x"}, "needs either url or url_file", id="two addresses"),
        pytest.param({"url": "mailto://x@y"}, "begins with http", id="no address of HTTP"),
        pytest.param({"url": "https://[::1"}, "begins with http", id="a broken address"),
        pytest.param({"url": "https://a b"}, "this is no URL", id="a space"),
        pytest.param(
            {"kind": "slack", "hmac_secret_file": "/x"}, "only the kind webhook is signed", id="a signed slack"
        ),
        pytest.param(
            {"kind": "apprise", "proxy": "none"}, "apprise takes its proxy from the environment", id="apprise"
        ),
        pytest.param({"proxy": "socks5://p:1"}, "not SOCKS", id="a proxy of another kind"),
        pytest.param({"events": ["everything"]}, "events.0", id="an unknown event"),
        pytest.param({"timeout_s": 3600}, "timeout_s", id="a wait without end"),
    ],
)
def test_what_it_may_not(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Channel.model_validate(HOOK | change)


def test_two_channels_have_two_names() -> None:
    with pytest.raises(ValidationError, match="the channel 'ops' is there twice"):
        Settings.model_validate({"notify": [HOOK, HOOK]})


def test_an_address_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text('[[notify]]\nname = "ops"\nkind = "slack"\nurl = "https:// hooks.example.com/T0/secret"\n')
    with pytest.raises(StartError) as refusal:
        load(file)
    assert "notify.0.url: this is no URL" in refusal.value.detail
    assert "secret" not in refusal.value.detail
    document = shown(Settings.model_validate({"notify": [HOOK]}))
    assert document["notify"][0]["url"] == "(hidden)"
