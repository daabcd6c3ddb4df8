import pytest

from router.errors import Refusal
from router.rollout.model.endpoint import EXAMPLE, UNIX_EXAMPLE, Endpoint, parse_endpoint, parse_endpoints


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
        ("http://Model-A.internal:80/", "http://model-a.internal:80"),
        ("http://model", "http://model:80"),
        ("http://[::1]:9001", "http://[::1]:9001"),
        ("unix:/run/model/http.sock", "unix:/run/model/http.sock"),
    ],
)
def test_canonical_spelling(url: str, expected: str) -> None:
    assert parse_endpoint(url).url == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://model:443", "has the scheme 'ftp', and only http and https are supported"),
        ("model:9001", "has the scheme 'model', and only http and https are supported"),
        ("http://", "has no host"),
        ("http://:9001", "has no host"),
        ("http://mo del:1", "has the host 'mo del', which is neither a name nor an address"),
        ("http://user:pw@model:1", "has user information, which would end up in logs and the journal"),
        ("http://model:1/v1", "has a path: the client's own path is forwarded"),
        ("http://model:1?a=b", "has a path: the client's own path is forwarded"),
        ("http://model:0", "has the port 0"),
    ],
)
def test_a_wrong_url_is_named_with_the_remedy(url: str, why: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_endpoint(url)
    error = caught.value
    assert error.code == "endpoint_invalid"
    shown = url.replace("user:pw", "(hidden)").replace("a=b", "(hidden)")  # either may be a secret
    assert error.detail == f"endpoint {shown!r} {why}; {EXAMPLE}"


@pytest.mark.parametrize("url", ["http://model:65536", "http://model:x", "http://[::1"])
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_endpoint(url)
    assert caught.value.detail.startswith(f"endpoint {url!r} is not a URL (")


def test_endpoints_are_sorted_and_distinct() -> None:
    assert parse_endpoints(["http://b:1", "http://a:2", "http://B:1"]) == (Endpoint("a", 2), Endpoint("b", 1))


@pytest.mark.parametrize("number", [0, 65])
def test_their_number_is_bounded(number: int) -> None:
    with pytest.raises(Refusal) as caught:
        parse_endpoints([f"http://model:{port + 1}" for port in range(number)])
    assert caught.value.code == "endpoints_count"


def test_a_unix_socket_is_localhost_to_its_backend() -> None:
    assert parse_endpoint("unix:/run/m.sock") == Endpoint("", 0, "/run/m.sock")
    assert parse_endpoint("unix:/run/m.sock").authority == "localhost"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("m.sock", f"has no absolute path of visible ASCII characters; {UNIX_EXAMPLE}"),
        ("", f"has no absolute path of visible ASCII characters; {UNIX_EXAMPLE}"),
        ("/run/", f"has no absolute path of visible ASCII characters; {UNIX_EXAMPLE}"),
        ("/run/a b", f"has no absolute path of visible ASCII characters; {UNIX_EXAMPLE}"),
        ("@abstract", f"has no absolute path of visible ASCII characters; {UNIX_EXAMPLE}"),
        ("/" + "x" * 107, "has a path of 108 bytes, and a Unix socket's may have 107; choose a shorter one"),
    ],
)
def test_a_wrong_path_is_named_with_the_remedy(path: str, why: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_endpoint(f"unix:{path}")
    assert caught.value.detail == f"endpoint {'unix:' + path!r} {why}"


def test_the_longest_path_is_one_that_the_kernel_takes() -> None:
    assert parse_endpoint("unix:/" + "x" * 106).unix == "/" + "x" * 106
