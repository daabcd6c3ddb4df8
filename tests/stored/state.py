"""What a stored state directory and the test that starts on it share: the settings, the model servers, the facts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests import backends
from tests.backends import Backend
from tests.end_to_end.real_router import SERVICE, Router

FOLDER: Final = Path(__file__).parent
FACTS: Final = "facts.json"
"""Beside the files of a set: what the router said that made them."""
TOKEN: Final = "alertmanager-token"
VERSIONS: Final = ("v1", "v2", "v3", "v4", "v5", "v6", "v7")
_MADE_WHEN_SHOWN: Final = frozenset(
    ("summary", "text", "claim", "evidence", "because", "why", "notes", "candidates", "seconds_since_last_passed")
)
_PORT: Final = 9000
"""The endpoints stand in the journal, so they are the same everywhere. Below the range of ports that systems give away."""


def address(version: str) -> str:
    """Return the loopback address of a version's model server."""
    return f"127.20.26.{version.removeprefix('v')}"


def url(version: str) -> str:
    """Return the endpoint of a version."""
    return f"http://{address(version)}:{_PORT}"


def scorer(*, fixed: bool) -> backends.Behaviour:
    """Answer a score; one that is not fixed breaks at negative amounts."""

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        status = 500 if not fixed and b'"amount":-' in request.raw else 200
        await connection.send(backends.response(status, b'{"score":0.5}', content_type="application/json"))

    return backends.answering(answer)


@dataclass
class ModelServer(Backend):
    """A backend on an address that is given. Two test runs at a time share it: connections go to one of them."""

    host: str = ""

    async def start(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=1 << 22, reuse_port=True)
        return self


@asynccontextmanager
async def model_servers() -> AsyncIterator[dict[str, ModelServer]]:
    """Run the model server of each version, and give them; v2 is the one that breaks."""
    async with AsyncExitStack() as stack:
        servers = {}
        for version in VERSIONS:
            server = ModelServer(scorer(fixed=version != "v2"), host=address(version), port=_PORT)
            servers[version] = await stack.enter_async_context(server)
        yield servers


def settings(receiver_url: str) -> str:
    """Return the settings with which a set is made and started with; `receiver_url` gets the notifications."""
    return f"""[[notify]]
name = "on-call"
kind = "webhook"
url = "{receiver_url}"
events = ["rollback", "proposal", "alert", "switch"]
[alerts]
tokens = [{{ name = "alertmanager", sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}" }}]
[[alerts.map]]
kind = "business"
matchers = {{ signal = "business" }}
service = "{SERVICE}"
[incidents]
after_s = 2.0
failures_max = 5
[timeouts]
verify_timeout_s = 5.0
[services.{SERVICE}]
active = {{ version = "v1", endpoints = ["{url("v1")}"] }}
replay = "always"
probe = {{ path = "/health", every_s = 0.1 }}
[services.{SERVICE}.cases]
bodies = true
[services.{SERVICE}.acceptance]
after_s = 1.0
requests_min = 20
"""


async def facts(router: Router, since: str, until: str) -> dict[str, Any]:
    """Return what the admin API says of all that is kept. What is made when it is shown is left out.

    History: the points from `since` to `until` (RFC 3339, whole tens of seconds).
    """
    path = f"/v1/services/{SERVICE}"
    listed = (await router.call("GET", "/v1/incidents"))["incidents"]
    whole = [await router.call("GET", f"/v1/incidents/{incident['id']}") for incident in listed]
    found = {
        "service": _service(await router.service()),
        "versions": await router.call("GET", "/v1/versions"),
        "live": await router.call("GET", f"{path}/live"),
        "retention": await router.call("GET", f"{path}/retention"),
        "acceptance": await router.call("GET", f"{path}/acceptance"),
        "incidents": [_recorded(incident) for incident in listed],
        "incident": [_recorded(incident) for incident in whole],
        "proposals": await router.call("GET", "/v1/proposals"),
        "alerts": await router.call("GET", "/v1/alerts"),
        "drills": await router.call("GET", "/v1/drills"),
        "cases": await router.call("GET", f"{path}/cases?full=true"),
        "history": await router.call("GET", f"{path}/history?since={since}&until={until}&step_s=10"),
        "alarms": [alarm["code"] for alarm in (await router.status())["alarms"]],
    }
    return dict(lasting(found))


def _service(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the journal knows of a service, and no figure of this run."""
    kept = (
        "state",
        "active",
        "standby",
        "candidate",
        "way_back",
        "frozen",
        "last_switch",
        "baseline",
        "incidents_open",
    )
    targets = [
        {name: target[name] for name in ("version", "role", "state", "slot", "since")}
        | {"endpoints": [endpoint["url"] for endpoint in target["endpoints"]]}
        for target in document["targets"]
    ]
    return {name: document[name] for name in kept} | {"targets": targets}


def _recorded(incident: dict[str, Any]) -> dict[str, Any]:
    """Return an incident without the figures that are worked out anew whenever it is shown."""
    shown = ("windows", "requests", "errors", "rescued")
    return {name: member for name, member in incident.items() if name not in shown}


def lasting(value: Any) -> Any:
    """Return `value` without the members that are made when they are shown: texts, and the time since something."""
    if isinstance(value, dict):
        return {name: lasting(member) for name, member in value.items() if name not in _MADE_WHEN_SHOWN}
    return [lasting(member) for member in value] if isinstance(value, list) else value


def missing(stored: Any, found: Any, place: str = "") -> list[str]:
    """Return the places where `found` does not say what `stored` says. It may say more: members that are new.

    A slot is given anew at each start.
    """
    if isinstance(stored, dict) and isinstance(found, dict):
        return [
            text
            for name, member in stored.items()
            if name != "slot"
            for text in missing(member, found.get(name, "(not there)"), f"{place}/{name}")
        ]
    if isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        pairs = enumerate(zip(stored, found, strict=True))
        return [text for number, pair in pairs for text in missing(*pair, f"{place}/{number}")]
    return [] if stored == found else [f"{place}: {found!r}, and it was {stored!r}"]
