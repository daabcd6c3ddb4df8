"""The operators' verbs on cases: list, add, remove, check. A refused verb changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from router.control.addon import Document
from router.control.cases.addon import CasesAddon
from router.control.core.service_controller import ServiceController
from router.control.store.case_format import case_document, parsed
from router.control.store.cases_file import Caps, Stored
from router.control.views.addon_answers import CheckProgress
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.cases.case import Case
from router.rollout.facts.cases import SuiteExtended, SuiteReduced
from router.rollout.facts.fact import Fact
from router.rollout.facts.record import Record
from router.runtime import clock


class CaseOperations:
    """The verbs on cases, for the admin API."""

    def __init__(self, addon: CasesAddon) -> None:
        self._addon = addon
        self._store = addon.store

    def _service_controller(self, service: str) -> ServiceController:
        return self._addon.control_loop.services[service]

    async def listing(self, service: str, *, full: bool) -> Document:
        """Return the cases of a service, newest first, and how many cases its last rollbacks have built.

        `full`: with header fields and bodies.
        """
        service_controller = self._service_controller(service)
        suite = await self._store.call(lambda file: file.suite(service))
        limit_s = service_controller.service.cases.expire_after_s
        cases = [as_document(stored, limit_s, full=full) for stored in suite]
        return {"service": service, "cases": cases, "rollbacks": self._addon.rollbacks(service)}

    async def one(self, service: str, name: str, *, full: bool) -> Document:
        """Return one case; raise Refusal."""
        service_controller = self._service_controller(service)
        stored = await self._store.call(lambda file: file.case(service, name))
        if stored is None:
            raise _unknown_cases(service, [name])
        return as_document(stored, service_controller.service.cases.expire_after_s, full=full)

    async def add(self, service: str, documents: Sequence[object], actor: str, *, dry_run: bool = False) -> Document:
        """Add cases, all or none; raise Refusal if a case is invalid or if they exceed the limits."""
        service_controller = self._service_controller(service)
        signed = await asyncio.to_thread(_parsed, documents, actor, clock.wall_s())  # 10,000 cases take 0.12 s
        caps = Caps(service_controller.service.cases.cases_max, service_controller.service.cases.bytes_max)
        now_s = clock.wall_s()
        done = await self._store.call(lambda file: file.add(service, signed, caps, now_s, whole=True, dry_run=dry_run))
        result = {"added": list(done.added), "known": list(done.known), "dropped": list(done.dropped)}
        if not dry_run:
            fact = SuiteExtended(added=tuple(done.added), known=tuple(done.known), dropped=tuple(done.dropped))
            self._journal(service_controller, actor, fact)
        return {"service": service, **result, "dry_run": dry_run}

    async def remove(self, service: str, name: str, actor: str) -> Document:
        """Remove a case. When this returns, nothing of it is left on the disk."""
        service_controller = self._service_controller(service)
        if not await self._store.call(lambda file: file.remove(service, [name])):
            raise _unknown_cases(service, [name])
        self._journal(service_controller, actor, SuiteReduced(count=1, cases=(name,), why="removed"))
        return {"service": service, "removed": [name]}

    async def check(
        self, service: str, version: str, actor: str, *, names: Sequence[str] = (), replay_all: bool = False
    ) -> CheckProgress:
        """Start a check of all cases, or of the named ones, on a version; raise Refusal."""
        service_controller = self._service_controller(service)
        target = service_controller.registry.targets.get(version)
        if target is None:
            known = ", ".join(sorted(service_controller.registry.targets)[:20]) or "none"
            detail = f"service {service} has no version {version!r}; its versions: {known}"
            raise Refusal(RefusalCode.VERSION_UNKNOWN, detail)
        if names:
            stored = {case.id for case in await self._store.call(lambda file: file.stored(service))}
            if missing := [name for name in names if name not in stored]:
                raise _unknown_cases(service, missing)
        return self._addon.begin(service_controller, target, actor, names=names, replay_all=replay_all).progress()

    def checks(self, service: str) -> Document:
        """Return the running checks and the last ones that ended, newest first."""
        self._service_controller(service)
        return {"service": service, "checks": [check.progress() for check in self._addon.checks.of(service)]}

    def check_named(self, service: str, name: str, *, full: bool = True) -> Document:
        """Return one check with its results; raise Refusal. `full`: with the differences of answers."""
        self._service_controller(service)
        return self._addon.checks.named(service, name).as_dict(full=full)

    def cancel(self, service: str, name: str) -> CheckProgress:
        """Cancel a check; raise Refusal."""
        self._service_controller(service)
        check = self._addon.checks.named(service, name)
        self._addon.checks.cancel(check)
        return check.progress()

    def _journal(self, service_controller: ServiceController, actor: str, fact: Fact) -> None:
        service_controller.executor.perform([Record(fact, actor)], clock.now_ns())


def as_document(stored: Stored, expire_after_s: float, *, full: bool) -> Document:
    """Return a case as a document. Without `full` it has nothing that a client has sent but method and target."""
    document = case_document(stored.case)
    if not full:
        request, expect = dict(document["request"]), dict(document.get("expect", {}))
        for name in ("headers", "body", "body_base64"):
            request.pop(name, None)
            expect.pop(name, None)
        document |= {"request": request, "expect": expect}
    expires = stored.added_at + expire_after_s if stored.case.captured else None
    return {
        **document,
        "added_at": clock.iso(stored.added_at),
        "expires_at": clock.iso(expires) if expires is not None else None,
        "sendable": stored.case.request.whole,
    }


def _parsed(documents: Sequence[object], actor: str, at_s: float) -> list[Case]:
    cases = (parsed(document, f"cases.{number}") for number, document in enumerate(documents))
    return [case if case.by else case.signed(actor, at_s) for case in cases]


def _unknown_cases(service: str, names: Sequence[str]) -> Refusal:
    quoted = ", ".join(repr(name[:40]) for name in names[:10])
    return Refusal(RefusalCode.CASE_UNKNOWN, f"service {service} has no case {quoted}")
