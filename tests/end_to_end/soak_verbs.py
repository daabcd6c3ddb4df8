"""Random verbs for a real router, and its settings: what an operator of the soak does (soak.py)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any, Final

from tests.backends import Backend
from tests.end_to_end.real_router import SERVICE, Router, until

WORKERS: Final = 2
SECOND_SERVICE: Final = "side"


class RandomVerbs:
    """A router with model servers, and a method for each verb, which draws its arguments."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.draw = random.Random(seed)
        self.servers: list[Backend] = []
        self.router = Router(folder, workers=WORKERS)
        self._second = False
        self._versions = 1
        self._stopping = asyncio.Event()
        self._mending = asyncio.Lock()

    def _settings(self) -> str:
        second = (
            f'[services.{SECOND_SERVICE}]\npath_prefix = "/{SECOND_SERVICE}/"\n'
            f'active = {{ version = "w1", endpoints = ["{self.servers[3].url}"] }}\n'
        )
        return (
            "[timeouts]\nverify_timeout_s = 3.0\nrollback_drain_timeout_s = 5.0\nworker_silent_s = 4.0\n"
            "control_silent_s = 3.0\nshutdown_timeout_s = 3.0\n"
            f"[services.{SERVICE}]\n"
            f'active = {{ version = "v1", endpoints = ["{self.servers[0].url}"] }}\n'
            'probe = { path = "/health", every_s = 0.1, recover_probes = 5 }\n'
            f"drill.hold_s = 1.0\ndrill.quiet_after_rollback_s = 0\n"
        ) + (second if self._second else "")

    async def _known(self) -> list[dict[str, Any]]:
        return list((await self.router.call("GET", "/v1/versions"))["versions"])

    async def _some(self, *states: str) -> str:
        names = [known["version"] for known in await self._known() if not states or known["state"] in states]
        return str(self.draw.choice(names[-12:])) if names else "v0"

    async def _deploy(self) -> Any:
        self._versions += 1
        server = self.draw.choice(self.servers)
        name = f"v{self._versions}"
        return await self.router.verb("deploy", version=name, endpoints=[server.url], replace=self.draw.random() < 0.5)

    async def _deploy_again(self) -> Any:
        override = {"actor": "ann", "reason": "to look", "expires_after_s": self.draw.choice([1, 3, 600])}
        more = {"override": override} if self.draw.random() < 0.7 else {}
        return await self.router.verb("deploy", version=await self._some(), replace=True, **more)

    async def _register(self) -> Any:
        self._versions += 1
        body = {"version": f"v{self._versions}", "endpoints": [self.draw.choice(self.servers).url], "service": SERVICE}
        return await self.router.call("POST", "/v1/versions", body)

    async def _promote(self) -> Any:
        more = {"override": {"actor": "ann", "reason": "now"}} if self.draw.random() < 0.3 else {}
        return await self.router.verb("promote", version=await self._some("ready"), **more)

    async def _ship(self) -> Any:
        """Deploy a new version, wait until it is ready, promote it."""
        await self._deploy()
        version = f"v{self._versions}"

        async def ready() -> bool:
            target = await self.router.target(version)
            return target is None or target["state"] not in ("verifying",) or self._stopping.is_set()

        await until(ready, 10, f"{version} is ready, or something else", every_s=0.1)
        return await self.router.verb("promote", version=version)

    async def _switch(self) -> Any:
        more = {"override": {"actor": "ann", "reason": "now"}} if self.draw.random() < 0.3 else {}
        return await self.router.verb("switch", to=await self._some("standby", "unreachable", "ready"), **more)

    async def _rollback(self) -> Any:
        return await self.router.verb("rollback", reason="odd")

    async def _retire(self) -> Any:
        version = await self._some("standby", "ready", "verifying", "unreachable", "registered", "draining")
        return await self.router.verb("retire", version=version, cut=self.draw.random() < 0.5)

    async def _move(self) -> Any:
        version = await self._some("active", "standby", "ready", "retired", "unreachable")
        if version in ("v1", "w1"):  # the settings name their endpoints, and a start with others is refused
            version = "v0"
        body = {"endpoints": [self.draw.choice(self.servers).url]}
        if self.draw.random() < 0.3:
            body |= {"host": "moved.example"}
        return await self.router.call("PUT", f"/v1/services/{SERVICE}/versions/{version}/endpoints", body)

    async def _quarantine(self) -> Any:
        body = {"reason": "odd", "service": SERVICE}
        return await self.router.call("POST", f"/v1/versions/{await self._some()}/quarantine", body)

    async def _release(self) -> Any:
        body = {"reason": "fine", "service": SERVICE}
        more = {"expires_after_s": self.draw.choice([1, 2, 600])} if self.draw.random() < 0.6 else {}
        marked = [known["version"] for known in await self._known() if known.get("quarantine")]
        version = self.draw.choice(marked) if marked else "v0"
        return await self.router.call("POST", f"/v1/versions/{version}/release", {**body, **more})

    async def _freeze(self) -> Any:
        return await self.router.verb("freeze", reason="a migration")

    async def _unfreeze(self) -> Any:
        return await self.router.verb("unfreeze", reason="over")

    async def _drill(self) -> Any:
        return await self.router.verb("drill", force=True, shadow=self.draw.random() < 0.3)

    async def _criterion(self) -> Any:
        body = {"metric": "fault_share", "limit": round(self.draw.uniform(0.01, 0.5), 3), "reason": "agreed"}
        return await self.router.call("PUT", f"/v1/services/{SERVICE}/acceptance", body)

    async def _dry_run(self) -> Any:
        path = f"/v1/services/{SERVICE}/switch?dry_run=true"
        return await self.router.call("POST", path, {"to": await self._some("standby")})

    async def _reload(self) -> Any:
        """Add the second service to the settings file, or take it out. A router that starts would die of the signal."""
        async with self._mending:
            self._second = not self._second
            self.router.settings = self._settings()
            self.router.arguments()
            os.kill(self.router.pid, signal.SIGHUP)


VERBS: Final = (
    *("ship",) * 5,
    *("switch", "deploy", "promote", "unfreeze", "drill") * 3,
    *("rollback", "retire", "move", "deploy_again", "release") * 2,
    *("register", "quarantine", "freeze", "criterion", "dry_run", "reload"),
)
PUBLISHING: Final = frozenset({"ship", "promote", "switch", "rollback"})
