"""Which proxy a call to the outside takes."""

from __future__ import annotations

from pathlib import Path

import pytest

import router
from router.control.forward_proxy import bypassed, proxy_for, request_options

CORPORATE = {"HTTPS_PROXY": "http://proxy.corp:3128", "HTTP_PROXY": "http://plain.corp:8080"}


def taken(url: str, setting: str = "environment", environment: dict[str, str] | None = None) -> str | None:
    found = proxy_for(url, setting, "proxy", CORPORATE if environment is None else environment)
    return None if found is None else f"{found.url} {found.origin}"


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        pytest.param("https://hooks.example/x", None, "http://proxy.corp:3128 HTTPS_PROXY", id="https"),
        pytest.param("http://hooks.example/x", None, "http://plain.corp:8080 HTTP_PROXY", id="http"),
        pytest.param("https://hooks.example", {"HTTP_PROXY": "http://p"}, None, id="of another scheme"),
        pytest.param("https://hooks.example", {"ALL_PROXY": "http://p:1"}, "http://p:1 ALL_PROXY", id="of all schemes"),
        pytest.param("https://h.example", {"all_proxy": "http://p:1", "https_proxy": "http://q:1"}, "http://q:1 https_proxy",
                     id="the scheme's own goes before"),
        pytest.param("https://h.example", {"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:1"}, "http://q:1 https_proxy",
                     id="small letters go before"),
        pytest.param("https://h.example", {"HTTPS_PROXY": "http://p:1", "https_proxy": ""}, None, id="emptied"),
        pytest.param("https://h.example", {"HTTPS_PROXY": ""}, None, id="empty"),
        pytest.param("https://h.example", {"HTTPS_PROXY": "p:3128"}, "http://p:3128 HTTPS_PROXY", id="without a scheme"),
        pytest.param("https://h.example", {"HTTPS_PROXY": "http://p/"}, "http://p:80 HTTPS_PROXY", id="without a port"),
        pytest.param("https://h.example", {"HTTPS_PROXY": "https://[::1]:1"}, "https://[::1]:1 HTTPS_PROXY", id="IPv6"),
        pytest.param("http://127.0.0.1:5000", None, None, id="loopback"),
        pytest.param("http://[::1]:5000", None, None, id="loopback of IPv6"),
        pytest.param("http://localhost:5000", None, None, id="localhost"),
        pytest.param("https://h.example", CORPORATE | {"NO_PROXY": "h.example"}, None, id="NO_PROXY"),
        pytest.param("https://h.example", CORPORATE | {"no_proxy": "h.example"}, None, id="no_proxy"),
        pytest.param("https://h.example", CORPORATE | {"NO_PROXY": "x"}, "http://proxy.corp:3128 HTTPS_PROXY", id="another host"),
        pytest.param("https://h.example", {}, None, id="nothing is set"),
    ],
)  # fmt: skip
def test_the_environment(url: str, environment: dict[str, str] | None, proxy: str | None) -> None:
    assert taken(url, environment=environment) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("*", "a.example", 443, True),
        ("corp.example", "corp.example", 443, True),
        ("corp.example", "hooks.corp.example", 443, True),
        (".corp.example", "hooks.corp.example", 443, True),
        (".corp.example", "corp.example", 443, True),
        ("*.corp.example", "hooks.corp.example", 443, True),
        ("CORP.example", "Hooks.Corp.Example", 443, True),
        ("corp.example", "notcorp.example", 443, False),
        ("corp.example", "corp.example.org", 443, False),
        ("corp.example:8443", "hooks.corp.example", 8443, True),
        ("corp.example:8443", "hooks.corp.example", 443, False),
        ("a.example, b.example", "b.example", 443, True),
        ("a.example b.example", "b.example", 443, True),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3:80", "10.1.2.3", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.1/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.0.0.0/8", "ten.example", 80, False),
        ("fd00::/8", "fd00::1", 80, True),
        ("fd00:0::1", "fd00::1", 80, True),
        ("[fd00::1]", "fd00::1", 80, True),
        ("[fd00::1]:80", "fd00::1", 443, False),
        ("10.0.0.0/nonsense, ,", "10.0.0.1", 80, False),
        (".", "a.example", 80, False),
        ("", "a.example", 80, False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, port: int, direct: bool) -> None:
    assert bypassed(host, port, no_proxy) is direct


def test_the_setting_goes_before_the_environment() -> None:
    assert taken("https://hooks.example", "none") is None
    assert taken("https://hooks.example", "http://own:1") == "http://own:1 proxy"
    assert taken("http://127.0.0.1:1", "http://own:1") == "http://own:1 proxy", "an explicit one is for every address"


def test_credentials_go_to_the_proxy_and_into_no_text() -> None:
    found = proxy_for("https://h.example", "http://ann:p%40ss%20w%C3%B6rd@proxy:3128", "mlflow.proxy", {})
    assert found is not None
    assert (found.url, str(found)) == ("http://proxy:3128", "the proxy proxy:3128 (mlflow.proxy)")
    assert found.credentials == "Basic YW5uOnBAc3Mgd8O2cmQ="
    assert "YW5u" not in repr(found)
    fields = {"Authorization": "Bearer x"}
    tunnelled = request_options(found, "https://h.example", fields)
    assert (tunnelled["headers"], tunnelled["proxy_headers"]) == (fields, {"Proxy-Authorization": found.credentials})
    forwarded = request_options(found, "http://h.example", fields)
    assert forwarded["headers"] == fields | {"Proxy-Authorization": found.credentials}
    assert request_options(None, "http://h.example", fields) == {
        "headers": fields,
        "proxy": None,
        "proxy_headers": None,
    }


@pytest.mark.parametrize(
    "value",
    [
        "socks5://u:SECRET@p:1",
        "http://u:SECRET@",
        "http://u:SECRET@p:99999",
        "http://u:SEC#RET@p:1",
        "http://u:SECRET@p/x",
    ],
)
def test_an_unusable_proxy_of_the_environment_is_named_without_its_value(value: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY names no usable proxy") as caught:
        taken("https://h.example", environment={"HTTPS_PROXY": value})
    assert "SECRET" not in str(caught.value)
    assert "RET" not in str(caught.value)


def test_nothing_else_reads_the_proxies_of_the_environment() -> None:
    """aiohttp reads them with trust_env: the data path, probes and cases never do."""
    root = Path(router.__file__).parent
    sources = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}
    assert [name for name, text in sources.items() if "trust_env=" in text] == []
    users = {name for name, text in sources.items() if "forward_proxy import" in text}
    assert users == {"cli/doctor_surroundings.py", "control/notify/senders.py", "control/versions/mlflow_http.py"}
