"""Types and functions of the sections. The rules of each section are tested through `loader.load` (test_loader.py)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from router.settings.sections.address import Address
from router.settings.sections.forwarding import ForwardingSettings
from router.settings.sections.service import Probe


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("[::1]:0", "::1", 0, "[::1]:0"),
        (":80", "0.0.0.0", 80, "0.0.0.0:80"),
        ("router.internal:65535", "router.internal", 65535, "router.internal:65535"),
        ("unix:/run/data.sock", "", 0, "unix:/run/data.sock"),
    ],
)
def test_an_address_is_read_and_shown(text: str, host: str, port: int, shown: str) -> None:
    address = Address.model_validate(text)
    assert (address.host, address.port, str(address)) == (host, port, shown)


def test_a_probe_that_makes_the_model_work_is_an_inference() -> None:
    assert [Probe(method=method).inference for method in ("GET", "HEAD", "POST")] == [False, False, True]


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8' has bits outside its prefix: write 10.0.0.0/8"),
        ("2001:db8::1/32", "'2001:db8::1/32' has bits outside its prefix: write 2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "'::ffff:10.0.0.0/104' is IPv4 within IPv6: write the IPv4 network, which covers both"),
        ("localhost", "'localhost' is no network: write 10.0.0.0/8, 2001:db8::/32, one address, or \"unix\""),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network: write 10.0.0.0/8, 2001:db8::/32, one address, or \"unix\""),
        ("", "'' is no network: write 10.0.0.0/8, 2001:db8::/32, one address, or \"unix\""),
    ],
)
def test_what_is_no_network_is_named_with_the_remedy(member: str, message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ForwardingSettings(trusted=["10.0.0.0/8", member])
    assert refusal.value.errors()[0]["msg"] == f"Value error, {message}"


def test_networks_and_addresses_and_unix_sockets_may_be_trusted() -> None:
    trusted = ["10.0.0.0/8", "192.0.2.1", "::1", "2001:db8::/32", "0.0.0.0/0", "::/0", "unix"]
    assert ForwardingSettings(trusted=trusted).trusted == trusted


@pytest.mark.parametrize(
    ("text", "plain", "secured"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "https://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080", "https://[::1]:8080"),
        ("unix:/run/r.sock", "unix:/run/r.sock", "unix:/run/r.sock"),
    ],
)
def test_how_clients_are_told_of_an_address(text: str, plain: str, secured: str) -> None:
    address = Address.model_validate(text)
    assert (address.url(secure=False), address.url(secure=True)) == (plain, secured)
