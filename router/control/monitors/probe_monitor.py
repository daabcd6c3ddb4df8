"""What the probes of one service show: alarms for people, and the evidence of inference probes for the judge."""

from __future__ import annotations

from typing import Final

from router.control.monitors.alarms import Alarms
from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.machine.inference_probes import probe_evidence, warmed_by
from router.rollout.machine.machine import Machine
from router.rollout.model.target import ROLES, Target
from router.runtime.text.plurals import counted, plural

SMALLER_SHARE: Final = 0.5
"""A standby with fewer good endpoints than this share of its own endpoints may not carry the traffic."""


class ProbeMonitor:
    """Reads the machine of one service; `service` names it in alarms."""

    def __init__(self, service: str, machine: Machine, alarms: Alarms) -> None:
        self._service = service
        self._machine = machine
        self._alarms = alarms
        self._warmed: tuple[str, int, bool] = ("", 0, False)

    def evidence(self) -> ProbeEvidence | None:
        """Return the evidence of the inference probes; None if the service has no inference probe, or no result yet."""
        registry, machine = self._machine.registry, self._machine
        active = registry.active
        if active is None or not machine.limits.inference:
            return None
        return probe_evidence(machine.streaks, active, registry.standby, warmed=self._is_warmed(active))

    def _is_warmed(self, active: Target) -> bool:
        """Return whether inference probes warmed the version before its promotion. Decided once: streaks forget old passes."""
        since_ns = self._machine.registry.active_since_ns
        if self._warmed[:2] != (active.version, since_ns):
            warmed = warmed_by(self._machine.streaks, active, since_ns, self._machine.limits.warmup_probes)
            self._warmed = (active.version, since_ns, warmed)
        return self._warmed[2]

    def check(self, evidence: ProbeEvidence | None) -> None:
        """Raise or end the alarms about probes."""
        active, failing = self._machine.registry.active, None
        if evidence is not None and evidence.red and active is not None:
            failing = (
                f"the inference probe of {active.version} fails on {evidence.bad} of {counted(evidence.endpoints, 'endpoint')}: "
                f"{evidence.detail}"
            )
        self._set("inference_probe_failing", failing)
        self._set("probe_unauthorised", self._unauthorised())
        self._set("standby_smaller", self.standby_smaller())

    def _set(self, code: str, detail: str | None) -> None:
        if detail is not None:
            self._alarms.up(code, detail, self._service)
        else:
            self._alarms.down(code, self._service)

    def _unauthorised(self) -> str | None:
        found = [
            f"{target.version}: {url}"
            for target in self._machine.registry.targets.values()
            if target.state in ROLES
            for url in self._machine.streaks.unauthorised(target)
        ]
        if not found:
            return None
        return (
            f"401 or 403 from {', '.join(found)}: give the version a headers_file, or probe a path without credentials"
        )

    def standby_smaller(self) -> str | None:
        """Return how small the standby is, if it has fewer than half of its endpoints, or of the active version's; else None.

        A standby without any good endpoint has another alarm.
        """
        active, standby = self._machine.registry.active, self._machine.registry.standby
        if active is None or standby is None or not self._is_probed(standby) or not self._is_probed(active):
            return None
        good, known = self._good(standby), len(standby.endpoints)
        if 0 < good < SMALLER_SHARE * known:
            return f"only {good} of {counted(known, 'endpoint')} of {standby.version} {plural('is', good)} good"
        if 0 < good < SMALLER_SHARE * self._good(active):
            return (
                f"{standby.version} has {counted(good, 'good endpoint')}, and {active.version} has {self._good(active)}"
            )
        return None

    def standby_size(self) -> dict[str, int] | None:
        """Return how many endpoints of the standby are good, and how many it has; None before all of them were probed."""
        standby = self._machine.registry.standby
        if standby is None or not self._is_probed(standby):
            return None
        return {"good": self._good(standby), "endpoints": len(standby.endpoints)}

    def _good(self, target: Target) -> int:
        return self._machine.streaks.good_endpoints(target)

    def _is_probed(self, target: Target) -> bool:
        return all(self._machine.streaks.of_endpoint(target.version, url) is not None for url in target.endpoints)
