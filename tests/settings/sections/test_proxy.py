"""The setting `proxy`, which may hold a password."""

from __future__ import annotations

import pytest

from router.settings.sections.proxy import masked_proxy, valid_proxy


@pytest.mark.parametrize(
    ("value", "kept"),
    [("environment", "environment"), ("None", "none"), ("http://p:3128", "http://p:3128"), ("https://u:p@[::1]:1/", None),
     ("http://p", "http://p"), ("http://us%40er:p%2Fw@p:1", None)],
)  # fmt: skip
def test_what_it_may_be(value: str, kept: str | None) -> None:
    assert valid_proxy(value) == (kept or value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("SECRET", "no http://"),
        ("p:3128", "no http://"),
        ("socks5://u:SECRET@p:1", "not SOCKS"),
        ("http://u:SECRET@", "no host"),
        ("http://u:SECRET@p:x", "host or port is invalid"),
        ("http://u:SECRET@p:1/path", "nothing follows the port"),
        ("http://u:SEC/RET@p:1", "host or port is invalid"),
        ("http://u:SECRET @p:1", "blank"),
        ("http://u:SECRET@p:1\n", "blank or an unprintable"),
    ],
)
def test_what_it_may_not_be(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        valid_proxy(value)
    assert "SECRET" not in str(caught.value)


def test_what_is_shown_of_it() -> None:
    assert masked_proxy("http://u:p@ss@proxy:3128") == "http://(hidden)@proxy:3128"
    assert [masked_proxy(value) for value in ("none", "environment", "http://p:1")] == [
        "none",
        "environment",
        "http://p:1",
    ]
