"""What a section may hold is tested through `config.load` (test_config.py); here what has a life of its own."""

from __future__ import annotations

import pytest

from router.sections import Address, Probe


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
