"""The demo: start all processes, promote a version, let it fail, and observe the rollback."""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from rich.text import Text

from router.demo.admin_client import AdminClient
from router.demo.display import Display
from router.demo.fault import KINDS, Kind
from router.demo.load import Load
from router.demo.processes import ModelProcess, end, start_router
from router.demo.report import Counts, DemoReport, counts
from router.errors import CommandError, RouterError
from router.errors.codes import CommandCode
from router.runtime import clock
from router.runtime.exit_codes import ExitCode
from router.runtime.printable import printable
from router.runtime.printable_json import json_bytes
from router.runtime.tasks import Tasks
from router.runtime.terminal import PrintableConsole
from router.runtime.text.plurals import counted

FAULTS: Final[tuple[Kind, ...]] = tuple(kind for kind in KINDS if kind != "none")
SERVICE: Final = "demo"
OLD: Final = "demo-v1"
NEW: Final = "demo-v2"
REQUESTS_MIN: Final = 1000

_START_WITHIN_S: Final = 20.0
_VERIFY_WITHIN_S: Final = 30.0
_WARM_S: Final = 2.0
_ROLLBACK_WITHIN_S: Final = 60.0
_HEALTHY_FOR_S: Final = 3.0
_HEALTHY_WITHIN_S: Final = 20.0
_IDLE_WITHIN_S: Final = 5.0
_POLL_EVERY_S: Final = 0.1
_LOG_LINES: Final = 30
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)
_STAY_MAX_S: Final = 3600.0
"""With `stay` the demo goes on for at most this long: its clients remember every request."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """The parameters of one fault. `rules` are those that differ from the defaults.

    A client gives up after `give_up_after_s`, and counts an answer as late after `late_after_s`.
    """

    requests_per_s: float
    give_up_after_s: float
    rules: dict[str, Any]
    late_after_s: float | None = None


_SLOW_RULES: Final = {
    "warmup_s": 1.0,
    "latency": {"slo_ms": 100.0, "window_s": 10.0, "sustained_s": 6.0, "fast_sustained_s": 3.0},
}
_PLANS: Final = {
    "errors": DemoPlan(150.0, 10.0, {}),
    "crash": DemoPlan(150.0, 10.0, {}),
    "hang": DemoPlan(60.0, 2.0, {}),
    "slow": DemoPlan(100.0, 10.0, _SLOW_RULES, late_after_s=0.3),
}


def run_demo(fault: Kind, headless: bool, as_json: bool, stay: bool = False) -> int:
    """Run the demo with `fault`; return 0 only if the rollback happened, traffic is healthy again and all counts agree.
    With `stay` it goes on until Ctrl-C, so that the dashboard can be looked at.
    """
    if fault not in _PLANS:
        raise CommandError(CommandCode.FAULT_UNKNOWN, f"fault {fault!r}: choose one of {', '.join(FAULTS)}")
    console = PrintableConsole(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="rollback-router-demo-") as folder:
        try:
            with Display(console, headless or not console.is_terminal) as display:
                report = asyncio.run(Demo(fault, Path(folder), display, stay).run())
        except RouterError as error:
            console.print(Text(f"{printable(str(error))}\n{_tail(Path(folder, 'router.log'))}"), soft_wrap=True)
            return ExitCode.NOT_TRUE
    console.print(report.sentence(), soft_wrap=True)
    if as_json:
        PrintableConsole(soft_wrap=True).print(json_bytes(report.as_dict()).decode())
    return ExitCode.DONE if report.good else ExitCode.NOT_TRUE


class Demo:
    """One run of the demo. All its processes are ended when it ends, also after an error."""

    def __init__(self, fault: Kind, folder: Path, display: Display, stay: bool = False) -> None:
        self._fault: Kind = fault
        self._stay = stay
        self._plan = _PLANS[fault]
        self._folder = folder
        self._display = display
        self._tasks = Tasks()

    async def run(self) -> DemoReport:
        """Run all steps; return the report."""
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self._tasks.close)
            old = await self._model("v1", OLD, "none", ending)
            new = await self._model("v2", NEW, self._fault, ending)
            self._display.announce(f"Two model servers: {OLD} at {await old.url()}, {NEW} at {await new.url()}.")
            data, admin = _free_ports(2)
            settings = self._folder / "demo.toml"
            settings.write_text(self._settings(data, admin, await old.url()), "utf-8")
            router = await start_router(settings, self._folder / "router.log")
            ending.push_async_callback(end, router)
            admin_client = await ending.enter_async_context(AdminClient(f"http://127.0.0.1:{admin}", SERVICE))
            await admin_client.wait_ready(_START_WITHIN_S)
            self._display.note(f"Dashboard: http://127.0.0.1:{admin}/")
            plan = self._plan
            load = Load(f"http://127.0.0.1:{data}", plan.requests_per_s, plan.give_up_after_s, plan.late_after_s)
            sending = self._tasks.spawn(load.run(), "demo load")
            return await self._steps(admin_client, load, sending, new)

    async def _steps(
        self, admin_client: AdminClient, load: Load, sending: asyncio.Task[None], new: ModelProcess
    ) -> DemoReport:
        self._display.announce(
            f"{counted(self._plan.requests_per_s, 'request', 'g')} a second on {OLD}; "
            f"{NEW} is being verified.{self._rules_remark()}"
        )
        await admin_client.deploy(NEW, await new.url())
        await self._watch(admin_client, _VERIFY_WITHIN_S, lambda document: _ready(document, NEW))
        promoted = await admin_client.promote(NEW)
        self._display.announce(f"{NEW} is active, {OLD} stands by: swap {promoted['swap_us']} µs.")
        await self._watch(admin_client, _WARM_S, lambda _: False)
        seen = max((entry["seq"] for entry in await admin_client.journal(0)), default=0)
        fault_ns = await new.begin_fault()
        self._display.announce(f"{NEW} begins to fail: {self._fault}.")
        entry = await self._rolled_back(admin_client, seen)
        if entry is not None:
            self._display.announce(f"Rolled back to {entry['data']['to']}; waiting until every request succeeds again.")
            await self._healthy(admin_client, load)
        if self._stay:
            await self._until_interrupted(admin_client)
        load.stop()
        await sending
        document = await self._watch(admin_client, _IDLE_WITHIN_S, lambda found: found["exchanges"]["in_flight"] == 0)
        incident = await admin_client.incident(entry["data"]["incident"]) if entry is not None else None
        return self._report(load, document, fault_ns, entry, incident)

    async def _rolled_back(self, admin_client: AdminClient, seen: int) -> dict[str, Any] | None:
        """Return the journal's entry of the rollback; None if there is none in time."""
        until_s = clock.now_s() + _ROLLBACK_WITHIN_S
        while clock.now_s() < until_s:
            for entry in await admin_client.journal(seen):
                if entry["type"] == "rolled_back":
                    return entry
            self._display.show(await admin_client.status())
            await asyncio.sleep(_POLL_EVERY_S)
        return None

    async def _healthy(self, admin_client: AdminClient, load: Load) -> None:
        """Return once every request begun in the last seconds has succeeded, or when it takes too long."""

        def healthy(_: dict[str, Any]) -> bool:
            return load.healthy_for_s() >= _HEALTHY_FOR_S and load.started >= REQUESTS_MIN

        await self._watch(admin_client, _HEALTHY_WITHIN_S, healthy)

    async def _until_interrupted(self, admin_client: AdminClient) -> None:
        """Show the service until SIGINT or SIGTERM, at most _STAY_MAX_S. A second SIGINT ends the demo at once."""
        loop, interrupted = asyncio.get_running_loop(), asyncio.Event()

        def interrupt() -> None:
            interrupted.set()
            for number in _INTERRUPTS:
                loop.remove_signal_handler(number)

        for number in _INTERRUPTS:
            loop.add_signal_handler(number, interrupt)
        self._display.announce("Everything goes on until Ctrl-C. Open the dashboard.")
        await self._watch(admin_client, _STAY_MAX_S, lambda _: interrupted.is_set())

    async def _watch(self, admin_client: AdminClient, seconds: float, enough: Any) -> dict[str, Any]:
        """Show the service until `enough(document)`, at most `seconds`; return its document."""
        until_s = clock.now_s() + seconds
        while True:
            document = await admin_client.status()
            self._display.show(document)
            if enough(document) or clock.now_s() >= until_s:
                return document
            await asyncio.sleep(_POLL_EVERY_S)

    async def _model(self, weights: str, name: str, fault: Kind, ending: AsyncExitStack) -> ModelProcess:
        arguments = ["--version", weights, "--name", name, "--fault", fault, "--fault-after-signal"]
        model = await ModelProcess.start(arguments, self._tasks)
        ending.push_async_callback(model.end)
        return model

    def _rules_remark(self) -> str:
        """Return the remark that some rules are not the defaults; empty if all are."""
        if not self._plan.rules:
            return ""
        return f" The latency rule has demo-sized windows: {orjson.dumps(self._plan.rules).decode()}."

    def _settings(self, data: int, admin: int, old_url: str) -> str:
        lines = [
            f'listen = "127.0.0.1:{data}"',
            f'admin_listen = "127.0.0.1:{admin}"',
            "workers = 2",
            f"state_dir = {_quoted(str(self._folder / 'state'))}",
            f"[services.{SERVICE}]",
            f'active = {{ version = "{OLD}", endpoints = ["{old_url}"] }}',
            'probe = { path = "/v2/health/ready" }',
            f"[services.{SERVICE}.rules]",
        ]
        for name, value in self._plan.rules.items():
            if isinstance(value, dict):
                lines += [f"{name}.{member} = {number}" for member, number in value.items()]
            else:
                lines.append(f"{name} = {value}")
        return "\n".join(lines) + "\n"

    def _report(
        self,
        load: Load,
        document: dict[str, Any],
        fault_ns: int,
        entry: dict[str, Any] | None,
        incident: dict[str, Any] | None,
    ) -> DemoReport:
        healthy_ns = load.healthy_since_ns()
        found: Counts = counts(load.results, document["exchanges"])
        data, facts = entry["data"] if entry else {}, incident or {}
        trigger = data.get("trigger") or {}
        swap_us, confirmed_ms = facts.get("swap_us"), facts.get("confirmed_ms")
        return DemoReport(
            fault=self._fault,
            rolled_back=entry is not None,
            healthy_again=load.healthy_for_s() >= _HEALTHY_FOR_S,
            from_version=data.get("from"),
            to_version=data.get("to"),
            trigger=trigger.get("kind"),
            trigger_detail=trigger.get("detail") or None,
            reason=data.get("reason"),
            fault_to_detection_s=(entry["monotonic_ns"] - fault_ns) / 1e9 if entry else None,
            detection_to_confirmed_ms=None
            if swap_us is None or confirmed_ms is None
            else swap_us / 1000 + confirmed_ms,
            fault_to_healthy_s=max(0.0, (healthy_ns - fault_ns) / 1e9) if entry and healthy_ns is not None else None,
            swap_us=swap_us,
            generation=data.get("generation"),
            requests=len(load.results),
            client_errors=sum(result.kind != "ok" for result in load.results),
            late_answers=load.late(),
            rescued=document["rescued"],
            counts=found,
            settings=self._plan.rules,
        )


def _ready(document: dict[str, Any], version: str) -> bool:
    return any(target["version"] == version and target["state"] == "ready" for target in document["targets"])


def _tail(log: Path) -> str:
    """Return the last lines of the router's log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]) if log.exists() else ""


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _free_ports(number: int) -> list[int]:
    """Return ports of 127.0.0.1 that were free just now."""
    sockets = [socket.socket() for _ in range(number)]
    for bound in sockets:
        bound.bind(("127.0.0.1", 0))
    ports = [int(bound.getsockname()[1]) for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports
