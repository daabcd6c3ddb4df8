"""Which of the router's header work a proxy does: found by asking through it, printed beside its figures."""

from __future__ import annotations

import ipaddress
import json

from benchmarks.peers.tls import connection


def missing(port: int, tls: bool = False) -> list[str]:
    """Return what of it is not done (empty: all of it is). For proxies that pass POST /seen on to the backend."""
    answer, seen = _ask(port, tls, {})
    kept, seen_kept = _ask(port, tls, {"X-Request-ID": "given-id"})
    host = f"127.0.0.1:{port}"
    return lacking(host, answer, seen, kept, seen_kept, "https" if tls else "http")


def lacking(
    host: str,
    answer: dict[str, str],
    seen: dict[str, str],
    kept: dict[str, str],
    seen_kept: dict[str, str],
    scheme: str = "http",
) -> list[str]:
    """Compare: the answer and what the backend saw, without an X-Request-ID and with `given-id`."""
    expected = {"x_forwarded_proto": scheme, "x_forwarded_host": host}
    found = [name.replace("_", "-") for name, value in expected.items() if seen[name] != value]
    try:
        # Envoy writes the address of another interface in place of a loopback address: the same work.
        ipaddress.ip_address(seen["x_forwarded_for"])
    except ValueError:
        found.insert(0, "x-forwarded-for")
    if seen["host"] != host:
        found.append("host")
    if not seen["x_request_id"] or answer.get("x-request-id") != seen["x_request_id"]:
        found.append("x-request-id created and answered")
    if seen_kept["x_request_id"] != "given-id" or kept.get("x-request-id") != "given-id":
        found.append("x-request-id kept and answered")
    if answer.get("x-served-version") != "v1":
        found.append("x-served-version")
    return found


def _ask(port: int, tls: bool, headers: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    client = connection(port, tls, 10)
    try:
        client.request("POST", "/seen", body=b"{}", headers={"Content-Type": "application/json", **headers})
        response = client.getresponse()
        body = response.read()
        return {name.lower(): value for name, value in response.getheaders()}, json.loads(body)
    finally:
        client.close()
