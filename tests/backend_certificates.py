"""Certificates that a backend may present, and that requests and probes must refuse."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Case:
    """A backend's certificate, the service's settings (`ca`: the authority that issued it), and the reason of a refusal."""

    names: tuple[str, ...] = ("127.0.0.1",)
    days: float = 30
    trusted: bool = True
    settings: dict[str, object] = field(default_factory=dict)
    refused: str | None = None


CASES = {
    "an address in the certificate": Case(),
    "a name instead of the address": Case(("model.test",), settings={"server_name": "model.test"}),
    "expired": Case(days=-1, refused="certificate has expired"),
    "another address": Case(("127.0.0.2",), refused="IP address mismatch, certificate is not valid for '127.0.0.1'"),
    "another name": Case(
        settings={"server_name": "a.test"}, refused="Hostname mismatch, certificate is not valid for 'a.test'"
    ),
    "unknown authority": Case(trusted=False, refused="unable to get local issuer certificate"),
    "not verified": Case(("x.test",), days=-1, trusted=False, settings={"verify": False}),
}
