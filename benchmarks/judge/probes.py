"""Inference probes of a modelled version with one endpoint: due every 10 s, every second from a failure until one passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from router.rollout.judge.probe_evidence import FAILURES_MIN, ProbeEvidence
from router.rollout.units import SECOND_NS

ProbeResult = Literal["good", "bad", "timeout"]
ProbeModel = Callable[[float], ProbeResult]
"""Seconds since the promotion to the result of a probe that is made then."""
EVERY_NS: Final = 10 * SECOND_NS
AGAIN_NS: Final = SECOND_NS
TIMEOUT_NS: Final = 2 * SECOND_NS


class InferenceProbes:
    """The probes of the active version; `standby` is the result of the standby's."""

    def __init__(self, model: ProbeModel, standby: bool | None, promoted_ns: int) -> None:
        self._model, self._standby, self._promoted_ns = model, standby, promoted_ns
        self._due_ns = promoted_ns
        self._pending: tuple[int, ProbeResult] | None = None
        self._failures = self._since_ns = self._last_good_ns = 0
        self._timeouts_only = False

    @property
    def is_failing(self) -> bool:
        """Whether the newest probe failed."""
        return self._failures > 0

    def step(self, now_ns: int, useful_ns: int) -> None:
        """Make what is due at `now_ns`; `useful_ns`: the newest useful inference answer of the endpoint."""
        if self._pending is not None and now_ns >= self._pending[0]:
            self._complete(*self._pending)
            self._pending = None
        if self._pending is not None or now_ns < self._due_ns:
            return
        if not self._failures and useful_ns and now_ns - useful_ns < EVERY_NS:
            self._due_ns = useful_ns + EVERY_NS
            return
        result = self._model((now_ns - self._promoted_ns) / SECOND_NS)
        self._pending = (now_ns + (TIMEOUT_NS if result == "timeout" else 0), result)

    def _complete(self, at_ns: int, result: ProbeResult) -> None:
        if result == "good":
            self._failures = self._since_ns = 0
            self._last_good_ns = at_ns
        else:
            self._since_ns = self._since_ns or at_ns
            self._timeouts_only = result == "timeout" and (self._timeouts_only or not self._failures)
            self._failures += 1
        self._due_ns = at_ns + (AGAIN_NS if self._failures else EVERY_NS)

    def evidence(self) -> ProbeEvidence:
        """Return what control tells the judge; the version was warmed before its promotion."""
        failing = self._failures >= FAILURES_MIN
        return ProbeEvidence(
            endpoints=1,
            good=int(not self._failures and self._last_good_ns > 0),
            bad=int(self._failures > 0),
            failing=int(failing),
            since_ns=self._since_ns if failing else 0,
            timeouts_only=self._timeouts_only and self._failures > 0,
            last_good_ns=self._last_good_ns or self._promoted_ns - SECOND_NS,
            warmed=True,
            standby_passes=self._standby,
            detail="its inference probe fails" if self._failures else "",
        )
