"""What is usually forgotten in the settings: a place each, with what follows from it and the remedy. `doctor` shows it.

Nothing here is wrong: a router runs with these settings. What contradicts itself, or may be blind, stands in soundness.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from router.settings.sections.address import Address
from router.settings.sections.service import Service
from router.settings.settings import Settings

Omission = tuple[str, str, str]
"""Place, what follows, remedy. Commands in the remedy have the form of router/runtime/text/hints.py."""

BACKEND_IDLE_S: Final = 5.0
"""uvicorn, and so most Python model servers, closes an idle connection after this time."""
_SMALLER: Final = 2
"""A standby with fewer endpoints than the active version's by this factor is small."""


def omissions(settings: Settings) -> Iterator[Omission]:
    """Yield what is usually forgotten."""
    for name, service in sorted(settings.services.items()):
        yield from _slow(f"services.{name}", service)
        if not settings.observe:
            yield from _passive(f"services.{name}", service)
        yield from _small_standby(f"services.{name}", service)
        yield from _no_registry(f"services.{name}", service, settings)
    if settings.observe:
        yield "observe", "it is true: no rule rolls anything back", "remove it when the first weeks are over"
    yield from _receivers(settings)
    yield from _hooks(settings)
    yield from _admin(settings)
    yield from _mlflow(settings)
    yield from _connections(settings)
    if settings.fail_point:
        yield "fail_point", "it kills a process of the router: it is for tests", "remove it"


def no_way_back(settings: Settings) -> Iterator[Omission]:
    """Yield the services that start without a standby. Once a router runs, its journal knows the standby."""
    for name, service in sorted(settings.services.items()):
        if service.active is not None and service.standby is None:
            yield (
                f"services.{name}.standby",
                "there is none in the settings: a new router has nothing to roll back to",
                'add standby = { version = "…", endpoints = ["…"] }, or, once it runs: `deploy VERSION URL`',
            )


def _slow(place: str, service: Service) -> Iterator[Omission]:
    if service.rules.latency.slo_ms is None:
        yield (
            f"{place}.rules.latency.slo_ms",
            "it is not set: no version is rolled back for being slow",
            "set it to what clients accept, for example slo_ms = 250; later: `advise`   (proposes a value)",
        )


def _passive(place: str, service: Service) -> Iterator[Omission]:
    for name in ("hard_failure", "error_rate"):
        action = getattr(service.rules, name).action
        if action != "rollback":
            yield (
                f"{place}.rules.{name}.action",
                f'it is "{action}": a version that fails stays active until an operator acts',
                'set action = "rollback"',
            )


def _small_standby(place: str, service: Service) -> Iterator[Omission]:
    if service.active is None or service.standby is None:
        return
    has, needs = len(service.standby.endpoints), len(service.active.endpoints)
    if has * _SMALLER <= needs and needs > 1:
        yield (
            f"{place}.standby.endpoints",
            f"the standby has {has} of the {needs} endpoints of the active version: after a rollback it takes all requests",
            "give it as many endpoints, or endpoints that take as much",
        )


def _no_registry(place: str, service: Service, settings: Settings) -> Iterator[Omission]:
    if settings.mlflow.tracking_uri is None and (service.mlflow.model or service.mlflow.alias):
        yield f"{place}.mlflow", "it names a model of MLflow, and no server is known", "set mlflow.tracking_uri"


def _receivers(settings: Settings) -> Iterator[Omission]:
    if not settings.notify:
        yield "notify", "there is no receiver: no message is sent at a rollback", "add [[notify]], then: `notify test`"


def _hooks(settings: Settings) -> Iterator[Omission]:
    alerts = settings.alerts
    is_open = bool(alerts.tokens or alerts.hmac_secret_file)
    if alerts.map and not is_open:
        yield (
            "alerts.tokens",
            "alerts are mapped, and the hooks that receive them are closed",
            "add [[alerts.tokens]]: `token new NAME --role alerts`",
        )
    if is_open and not alerts.map:
        yield (
            "alerts.map",
            "alerts are received, and none of them counts",
            'add [[alerts.map]] with kind = "quality" and the labels of the alerts',
        )


def _admin(settings: Settings) -> Iterator[Omission]:
    address, admin = settings.admin_listen, settings.admin
    if address.unix:
        return
    if admin.is_open:
        yield (
            "admin.tokens",
            "there is none: every user and program on this machine may change the route",
            'add [[admin.tokens]]: `token new NAME`; or admin_listen = "unix:/PATH"',
        )
    elif not address.is_loopback and admin.tls.certificate is None:
        yield "admin.tls", f"tokens travel to {address} without encryption", "set certificate and key in [admin.tls]"


def _mlflow(settings: Settings) -> Iterator[Omission]:
    parts = urlsplit(settings.mlflow.tracking_uri or "")
    if (
        parts.scheme == "http"
        and settings.mlflow.secret_file
        and not Address(host=parts.hostname or "", port=0).is_loopback
    ):
        yield "mlflow.tracking_uri", "the credentials travel without encryption", "write it as https://…"


def _connections(settings: Settings) -> Iterator[Omission]:
    if settings.timeouts.upstream_idle_s >= BACKEND_IDLE_S:
        yield (
            "timeouts.upstream_idle_s",
            f"it is {settings.timeouts.upstream_idle_s:g} s, and uvicorn closes an idle connection after {BACKEND_IDLE_S:g} s: "
            "a request may meet a connection that closes",
            "set it below the model server's own time, for example 4",
        )
