"""Make a set of state files by playing a story through the admin API of a real router.

    python -m tests.stored.make NAME [--source FOLDER]

FOLDER is a checkout of the commit whose router plays; without it the router of this checkout does. NAME says the commit. The
files come to tests/stored/NAME, together with `facts.json`: what that router said of them when it had been started again. It
takes about a minute. A set is made once and kept: tests/end_to_end/test_stored.py starts on each with the router of today.
Make another one when a release has changed what is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.backends import Backend
from tests.control.receiver import receiving
from tests.end_to_end.real_router import SERVICE, RefusedError, Router, until
from tests.stored.state import FACTS, FOLDER, TOKEN, facts, model_servers, settings, url

GOOD: Final = (b'{"amount":1}',) * 25
POISONED: Final = tuple(b'{"amount":-%d}' % number for number in range(1, 6))
_SERVICE: Final = f"/v1/services/{SERVICE}"
_KEPT: Final = ("*.sqlite", "*.mark", "incidents/*.json")
"""Not the key of links in notifications: it is a secret, and a router without one makes one."""
_STEP_S: Final = 10
"""A row of the history is so long."""


async def send(router: Router, *bodies: bytes) -> None:
    async with aiohttp.ClientSession() as session:
        for body in bodies:
            async with session.post(f"{router.url}/score", data=body) as response:
                await response.read()


async def accepted(router: Router, version: str) -> None:
    """Send good requests until `version` is accepted."""

    async def is_accepted() -> bool:
        await send(router, *GOOD)
        told = await router.call("GET", f"{_SERVICE}/acceptance")
        return (told["active"], told["accepted"]) == (version, True)

    await until(is_accepted, 20, f"{version} is accepted", every_s=0.3)


async def promoted(router: Router, version: str) -> None:
    """Deploy `version`; promote it once its cases were checked."""
    await router.verb("deploy", version=version, endpoints=[url(version)], actor="ci")
    await router.wait_ready(version)

    async def taken() -> bool:
        try:
            await router.verb("promote", version=version, reason="the weekly release", actor="ann")
        except RefusedError as refused:
            if refused.code != "cases_pending":
                raise
            return False
        return True

    await until(taken, 20, f"{version} is promoted")


async def failed_at_inputs(router: Router) -> str:
    """Have v2 fail until it is rolled back; return the incident, once the failing requests are cases."""
    await promoted(router, "v2")
    await router.wait_ready("v1")

    async def back() -> bool:
        await send(router, *POISONED)
        return (await router.service())["active"] == "v1"

    await until(back, 20, "v2 is rolled back", every_s=0.3)

    async def frozen() -> bool:
        return bool(await router.journal("cases_frozen"))

    await until(frozen, 20, "the failing requests are cases")
    return str((await router.journal("rolled_back"))[-1]["data"]["incident"])


async def learned(router: Router, incident: str) -> None:
    """Write down what people found: cause, actions, a criterion, a case."""
    found = {
        "actor": "ann",
        "root_cause": "negative amounts were not in the training data",
        "severity": "sev2",
        "owner": "team-fraud",
        "add_actions": [{"what": "train with refunds", "kind": "preventive", "owner": "ann", "due": "2027-01-31"}],
    }
    await router.call("PATCH", f"/v1/incidents/{incident}", found)
    await router.call("PATCH", f"/v1/incidents/{incident}", {"actor": "bob", "status": "reviewed", "comment": "agreed"})
    criterion = {"metric": "fault_share", "limit": 0.01, "reason": incident, "actor": "ann"}
    await router.call("PUT", f"{_SERVICE}/acceptance", criterion)
    request = {"method": "POST", "target": "/score", "headers": {}, "body": '{"amount":0}'}
    case = {"request": request, "expect": {"status": "2xx"}, "note": "zero is an amount"}
    await router.call("POST", f"{_SERVICE}/cases", {"cases": [case], "actor": "ann"})


async def marked(router: Router) -> None:
    """Register two versions; block both, and release one of them."""
    for version in ("v8", "v9"):
        known = {
            "version": version,
            "endpoints": [url("v5")],
            "artifact": f"s3://models/fraud/{version}",
            "actor": "ci",
        }
        await router.call("POST", "/v1/versions", known)
        mark = {"reason": "trained on leaked labels", "actor": "ann"}
        await router.call("POST", f"/v1/versions/{version}/quarantine", mark)
    await router.call("POST", "/v1/versions/v9/release", {"reason": "the labels were sound", "actor": "bob"})


async def alerted(router: Router, name: str, began: str, *, resolved: bool = False) -> None:
    """Send the alert `name` of the business."""
    status = "resolved" if resolved else "firing"
    alert = {
        "status": status,
        "labels": {"alertname": name, "signal": "business"},
        "annotations": {"summary": "refunds are 40 % up"},
        "startsAt": began,
        "fingerprint": name,
    }
    body = {"version": "4", "status": status, "receiver": "router", "alerts": [alert]}
    await router.call("POST", "/v1/hooks/alertmanager", body, Authorization=f"Bearer {TOKEN}")


async def proposed(router: Router) -> str:
    """Return the id of the proposal that waits, as soon as there is one."""

    async def waiting() -> Any:
        return (await router.call("GET", "/v1/proposals?state=pending"))["proposals"]

    [proposal] = await until(waiting, 10, "a proposal waits")
    return str(proposal["id"])


async def asked(router: Router) -> None:
    """Send an alert of the business; deny what is proposed; end the alert."""
    began = datetime.now(UTC).isoformat()
    await alerted(router, "RefundsHigh", began)
    no = {"reason": "a campaign, not the model", "actor": "ann"}
    await router.call("POST", f"/v1/proposals/{await proposed(router)}/deny", no)
    await alerted(router, "RefundsHigh", began, resolved=True)


async def rehearsed(router: Router, *, shadow: bool) -> None:
    """Go back and come home again; with `shadow` do everything of it but the swaps."""
    hold = {} if shadow else {"hold_s": 1}

    async def begun() -> Any:
        try:
            return await router.verb("drill", force=True, shadow=shadow, actor="ann", **hold)
        except RefusedError:
            return None  # the standby has not been probed often enough

    await until(begun, 20, "a drill has begun")

    async def over() -> bool:
        return all(drill["result"] for drill in (await router.call("GET", "/v1/drills"))["drills"])

    await until(over, 20, "the drill is over")


async def state_of(router: Router, version: str, *states: str) -> None:
    """Return as soon as `version` is in one of these states."""

    async def reached() -> bool:
        versions = (await router.call("GET", "/v1/versions"))["versions"]
        return any((known["version"], known["state"]) == (version, state) for known in versions for state in states)

    await until(reached, 20, f"{version} is {' or '.join(states)}")


async def lost_and_found(router: Router, server: Backend) -> None:
    """Have v6 refuse connections until it is rolled back; bring its server back, and swap to it in a drill."""
    await promoted(router, "v6")
    await router.wait_ready("v1")
    await server.stop()

    async def back() -> bool:
        await send(router, *POISONED)
        return (await router.service())["active"] == "v1"

    await until(back, 20, "v6 is rolled back", every_s=0.3)
    await state_of(router, "v6", "unreachable")
    await server.start()
    await state_of(router, "v6", "standby")
    await rehearsed(router, shadow=False)


async def moved(router: Router) -> None:
    """Move v6 to another server, which has another name; go there, and approve the way back that an alert proposes."""
    place = {"endpoints": [url("v7")], "host": "scores.example", "path_prefix": "/v6", "actor": "bob"}
    await router.call("PUT", f"{_SERVICE}/versions/v6/endpoints", place)
    await router.wait_ready("v6")
    await router.verb("switch", to="v6", reason="the moved server", actor="bob")
    await router.wait_ready("v1")
    began = datetime.now(UTC).isoformat()
    await alerted(router, "ChurnHigh", began)
    proposal = await proposed(router)

    async def approved() -> bool:
        try:
            yes = {"reason": "customers leave", "actor": "bob"}
            await router.call("POST", f"/v1/proposals/{proposal}/approve", yes)
        except RefusedError:
            return False  # the standby has not been probed often enough
        return True

    await until(approved, 20, "the proposal is approved")
    await alerted(router, "ChurnHigh", began, resolved=True)
    await state_of(router, "v6", "draining", "retired")


async def candidates(router: Router) -> None:
    """Candidates that come to nothing: never ready, replaced, retired with a cut, quarantined again after a while."""
    await router.verb("deploy", version="v10", endpoints=["http://127.20.26.10:9000"], actor="ci")
    await state_of(router, "v10", "failed", "retired")
    await router.verb("deploy", version="v10", actor="ci")
    override = {"actor": "ann", "reason": "to compare it once", "expires_after_s": 2}
    await router.verb("deploy", version="v8", override=override, replace=True, actor="ci")

    async def returned() -> bool:
        return bool(await router.journal("quarantine_returned"))

    await until(returned, 20, "the quarantine of v8 is back")
    await router.verb("deploy", version="v7", endpoints=[url("v7")], actor="ci")
    await router.wait_ready("v7")
    await router.verb("retire", version="v7", cut=True, actor="ann")
    await state_of(router, "v7", "draining", "retired")


async def neighbour(router: Router) -> None:
    """Add a service to the settings file, use it, take it out again."""
    alone = router.settings
    second = (
        f'[services.second]\npath_prefix = "/second"\nactive = {{ version = "w1", endpoints = ["{url("v7")}"] }}\n'
        'probe = { path = "/health", every_s = 0.1 }\n'
    )
    for settings_text in (alone + second, alone):
        router.settings = settings_text
        router.arguments()
        os.kill(router.pid, signal.SIGHUP)

        async def taken(count: int = settings_text.count("[services.second]") + 1) -> bool:
            return len((await router.status())["services"]) == count

        await until(taken, 20, "the settings file is taken")
        if settings_text is not alone:
            await router.call("POST", "/v1/services/second/freeze", {"reason": "it is new", "actor": "bob"})


async def story(router: Router, servers: Mapping[str, Backend]) -> None:
    """Play it. At its end v4 is active, v1 its standby, v5 candidate, automation frozen."""
    await accepted(router, "v1")
    incident = await failed_at_inputs(router)
    await learned(router, incident)
    await marked(router)
    await promoted(router, "v3")
    await accepted(router, "v3")
    await asked(router)
    await rehearsed(router, shadow=True)
    await router.verb("freeze", reason="a migration", actor="bob")
    await router.verb("unfreeze", reason="it is over", actor="bob")
    await router.verb("rollback", reason="wrong scores for refunds", actor="ann")
    await lost_and_found(router, servers["v6"])
    await moved(router)
    await candidates(router)
    await neighbour(router)
    await promoted(router, "v4")
    await router.wait_ready("v1")
    await accepted(router, "v4")
    await router.verb("deploy", version="v5", endpoints=[url("v5")], actor="ci")
    await router.wait_ready("v5")
    await router.verb("freeze", reason="the night of the migration", actor="bob")


def boundary(at_s: float) -> str:
    """Return the whole ten seconds at or before `at_s` as RFC 3339."""
    return datetime.fromtimestamp(at_s // _STEP_S * _STEP_S, UTC).isoformat().replace("+00:00", "Z")


async def told(router: Router, began_s: float) -> dict[str, Any]:
    """Return the facts as soon as the history holds what was until now."""
    since, end = boundary(began_s), boundary(time.time() + _STEP_S)

    async def written() -> bool:
        path = f"{_SERVICE}/history?since={since}&until={boundary(time.time() + 2 * _STEP_S)}&step_s={_STEP_S}"
        points = (await router.call("GET", path))["points"]
        return any(datetime.fromisoformat(point["at"]) >= datetime.fromisoformat(end) for point in points)

    await until(written, 40, "the history has a row that is later", every_s=0.5)
    return {"since": since, "until": end, **await facts(router, since, end)}


async def played(folder: Path, source: Path) -> dict[str, Any]:
    """Play the story in `folder`, start the router once more, stop it; return what it said of its state."""
    began_s = time.time()
    async with model_servers() as servers, receiving() as receiver:
        program = (sys.executable, "-m", "router")
        router = Router(folder, settings(receiver.url), workers=1, cwd=source, program=program)
        try:
            await router.start(PYTHONPATH=str(source))
            await story(router, servers)

            async def delivered() -> bool:
                return not (await router.service())["notifications"]["pending"]

            await until(delivered, 20, "the notifications are delivered")
            assert await router.stop() == 0, router.log[-4000:]
            await router.start(PYTHONPATH=str(source))
            await router.wait_ready("v5")
            found = await told(router, began_s)
        finally:
            if router.process is not None:
                await router.stop()
    assert await router.stop() == 0, router.log[-4000:]
    return {"made_s": int(time.time()) + 1, **found}


def kept(state: Path, target: Path, found: dict[str, Any]) -> None:
    """Copy the files of `state` to `target` with the facts; fail if they hold anything of this machine."""
    assert not list(state.glob("*-wal")), "a file was not closed"
    for pattern in _KEPT:
        for path in sorted(state.glob(pattern)):
            copy = target / path.relative_to(state)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (target / FACTS).write_text(json.dumps(found, sort_keys=True, separators=(",", ":")) + "\n", "utf-8")
    ours = (socket.gethostname(), str(state.parent), str(Path.home()), str(FOLDER.parent.parent), tempfile.gettempdir())
    for path in target.rglob("*"):
        for text in ours:
            assert path.is_dir() or text.encode() not in path.read_bytes(), f"{path} holds {text}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("name")
    arguments.add_argument("--source", type=Path, default=FOLDER.parent.parent)
    asked_for = arguments.parse_args()
    target = FOLDER / asked_for.name
    assert not target.exists(), f"{target} is there already: a set is never made anew"
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(played(Path(folder), asked_for.source.resolve()))
        kept(Path(folder) / "state", target, found)


if __name__ == "__main__":
    main()
