"""The states of the dashboard, one after the other, as a running router comes to them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from docs.generate.dashboard_stage import ALONE, SERVICE, Stage

ACTOR: Final = "on-call"
REASON: Final = "scores drift in the north"


@dataclass(frozen=True, slots=True)
class Scene:
    """A state that the router is in. The page at `address` shows it once its first heading holds `heading`.

    `press`: the key that opens what the scene shows; `typed`: the word of a confirmation; `then`: what is done with an open
    dialog afterwards (`keep` it for the next scene) or before (`submit` it). `ready`: what must be on the page (a selector).
    `picture`: whether a picture of it belongs to the documents.
    """

    name: str
    address: str
    heading: str
    ready: str = "#charts .plot svg"
    press: str | None = None
    typed: str | None = None
    dialog: Literal["close", "keep", "submit"] = "close"
    picture: bool = True


def _of(service: str) -> str:
    return f"#/{service}"


HERE: Final = _of(SERVICE)


async def scenes(stage: Stage, looks_s: float = 0.0) -> AsyncIterator[Scene]:
    """Yield each scene while the router is in its state. `looks_s`: how long charts gather before a scene, in seconds."""
    for part in (_well, _race, _fault, _others, _silence):
        async for scene in part(stage, looks_s):
            yield scene


async def _service_is(stage: Stage, fits: Callable[[dict[str, Any]], Any], what: str) -> None:
    async def there() -> bool:
        return bool(fits(await stage.status()))

    await stage.until(there, what)


async def _well(stage: Stage, looks_s: float) -> AsyncIterator[Scene]:
    await stage.deploy("fraud-v7")
    await asyncio.sleep(looks_s)
    await stage.promote("fraud-v7", "weekly retrain")
    yield Scene("probation", HERE, "on probation", picture=False)
    await _service_is(stage, lambda found: found["state"] == "accepted", "fraud-v7 is accepted")
    await asyncio.sleep(looks_s)
    yield Scene("well", HERE, "Serving fraud-v7")
    yield Scene("actions", HERE, "Serving fraud-v7", "dialog[open] .verbs", press="a", picture=False)
    await stage.verb("freeze", reason="load test until noon")
    yield Scene("frozen", HERE, "frozen", picture=False)
    await stage.verb("unfreeze")
    await stage.drill("monthly")
    yield Scene("drill", HERE, "Drill", picture=False)
    if (await stage.status())["drill"]["under_way"]:
        await stage.verb("drill/stop")
    await _service_is(stage, lambda found: not found["drill"]["under_way"], "the drill is over")


async def _race(stage: Stage, looks_s: float) -> AsyncIterator[Scene]:
    """Two operators want to roll back: the first one is release-bot."""
    await stage.deploy("fraud-v8")
    await stage.promote("fraud-v8", "bigger trees")
    await asyncio.sleep(looks_s / 4)
    yield Scene("confirm", HERE, "on probation", "dialog[open] .will .soft", press="r", typed="fraud-v7", dialog="keep")
    await stage.verb("rollback", actor="release-bot", reason="precision fell on new cards")
    yield Scene("lost-race", HERE, "fraud-v7", "dialog[open] .note", dialog="submit")


async def _fault(stage: Stage, looks_s: float) -> AsyncIterator[Scene]:
    await stage.deploy("fraud-v9")
    await stage.promote("fraud-v9", "more features")
    await asyncio.sleep(looks_s)
    stage.begin_fault("fraud-v9")
    await _service_is(stage, lambda found: found["headline"]["state"] == "failing", "fraud-v9 is failing")
    yield Scene("failing", HERE, "may be failing")
    await _service_is(stage, lambda found: found["active"] == "fraud-v7", "fraud-v9 is rolled back")
    await asyncio.sleep(looks_s / 2)
    yield Scene("rolled-back", HERE, "Rolled back to fraud-v7")
    await stage.deploy("fraud-v10")
    await stage.promote("fraud-v10", "smaller batch")
    await asyncio.sleep(looks_s / 2)
    stage.begin_fault("fraud-v10")
    nothing = "nothing_useful"
    await _service_is(stage, lambda found: found["headline"]["state"] == nothing, "nothing is useful")
    yield Scene("nothing-useful", HERE, "Nothing useful")
    await _service_is(stage, lambda found: found["active"] == "fraud-v7", "fraud-v10 is rolled back")


async def _others(stage: Stage, looks_s: float) -> AsyncIterator[Scene]:
    await stage.verb("freeze", "spam", reason="new labels")
    await stage.deploy("churn-v3", "churn", "fraud-v7")
    await stage.promote("churn-v3", "better recall", "churn")
    yield Scene("proposal", _of("churn"), "churn-v2")
    yield Scene("no-way-back", _of(ALONE), "no way back")
    yield Scene("list", "#", "services", ".services tbody tr", picture=False)
    await asyncio.sleep(looks_s)
    yield Scene("services", "#", "services", ".services tbody tr")


async def _silence(stage: Stage, looks_s: float) -> AsyncIterator[Scene]:
    """Control stops, and goes on; then it asks for a token."""
    yield Scene("again", HERE, "Rolled back", picture=False)
    control = await stage.control()
    for pid in (stage.pid, control):  # else the supervisor would start another control
        stage.send(signal.SIGSTOP, pid)
    try:
        yield Scene("stale", HERE, "Rolled back", "#main .box[role=status]")
    finally:
        for pid in (control, stage.pid):
            stage.send(signal.SIGCONT, pid)
    stage.ask_for_token()
    yield Scene("sign-in", HERE, "Sign in", "#token")
