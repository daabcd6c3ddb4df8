"""The table of scenarios: what goes wrong, and what is right at which rate (docs/behaviour/judging.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from benchmarks.judge import answers
from benchmarks.judge.driver import Driver, Model, Run, Service
from benchmarks.judge.models import (
    Replicas,
    alive_server,
    always,
    between,
    by_bucket,
    poisoned,
    share,
    steady,
    streaming,
    until,
)
from benchmarks.judge.probes import ProbeModel, ProbeResult
from benchmarks.judge.traffic import CHAT, MODELS, Flow
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.criteria import Acceptance

RATES: Final = (200.0, 20.0, 2.0, 0.2)
FAULT_AFTER_S: Final = 40.0
"""Seconds from the promotion to the fault, where nothing else is said."""
SOON: Final = {200.0: 12.0, 20.0: 12.0, 2.0: 20.0, 0.2: 60.0}
"""Limits in seconds, by rate, of what goes back as a hang does when the version before is known."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`service` makes what is driven at a rate. `within_s`: by rate, seconds from the fault to the verdict; empty: no verdict.

    `fault_s`: seconds from the promotion to the fault. `triggers`: rules that may act; empty: any. `alarm`: the note that
    has to come in place of a verdict; empty: none has to.
    """

    name: str
    service: Callable[[float], Service]
    within_s: Mapping[float, float] = field(default_factory=dict)
    fault_s: float = FAULT_AFTER_S
    for_s: float = 600.0
    triggers: tuple[str, ...] = ()
    alarm: str = ""
    rates_of: tuple[float, ...] = RATES
    """The rates at which it is driven, if no limit by rate says it."""

    @property
    def rates(self) -> tuple[float, ...]:
        """The rates at which something is said about this scenario."""
        return tuple(self.within_s) or self.rates_of

    def drive(self, rate: float, seed: object = 0, *, skip: bool = True) -> Run:
        """Return what the judge does in `for_s` seconds after the promotion."""
        service = self.service(rate)
        return Driver(service, (self.name, rate, seed), skip=skip).run(service.promoted_s + self.for_s)

    def complaint(self, rate: float, run: Run) -> str | None:
        """Return what is wrong about this run; None if nothing is."""
        limit_s, after_s = self.within_s.get(rate), run.verdict_s - self.fault_s
        if limit_s is None:
            if run.verdict is not None:
                return f"rolled back after {after_s:.1f} s by {run.trigger}"
            return f"no alarm {self.alarm}" if self.alarm and self.alarm not in run.noted else None
        if run.verdict is None:
            return f"not rolled back in {self.for_s:g} s"
        if not 0 <= after_s <= limit_s:
            return f"rolled back {after_s:.1f} s after the fault by {run.trigger}, right is within {limit_s:g} s"
        if self.triggers and run.trigger not in self.triggers:
            return f"rolled back by {run.trigger}, right is {' or '.join(self.triggers)}"
        return None


def known_s(rate: float) -> float:
    """Return for how long the version before serves, so that at least 120 answers of it are known."""
    return min(max(60.0, 130 / rate), 650.0)


@cache
def learned(model: Model, bucket: str = CHAT) -> Baseline:
    """Return the baseline that the judge itself makes of 500 answers of this model."""
    quick = Acceptance(after_s=20.0, requests_min=500)
    run = Driver(Service((Flow(20.0, bucket),), model, acceptance=quick), "learned").run(300)
    assert run.accepted is not None
    return run.accepted


def promoted(
    after: Model, before: Model, *flows: Callable[[float], Flow], baseline: bool = True
) -> Callable[[float], Service]:
    """Return a service whose version before has served for a while; the flows are made from the rate."""

    def make(rate: float) -> Service:
        chosen = tuple(flow(rate) for flow in flows) or (Flow(rate),)
        known = learned(before) if baseline else None
        return Service(chosen, after, before, known_s(rate), known)

    return make


def breaks(fault: Model, well: Model, *flows: Callable[[float], Flow]) -> Callable[[float], Service]:
    """Return a service whose new version works well for FAULT_AFTER_S and then does what `fault` does."""
    return promoted(until(FAULT_AFTER_S, well, fault), well, *flows)


STEADY: Final = steady()
STREAMING: Final = streaming()
SERVER: Final = alive_server(STEADY)
HANGS: Final = always(answers.silence)
SILENT: Final = always(answers.silent_stream)
FAILS: Final = always(answers.failed)
UNKNOWN: Final = always(answers.client_error)
ERROR_EVENT: Final = always(answers.invalid)
PATIENCE_S: Final = 5.0


def chat(rate: float) -> Flow:
    """Return chat completions of many clients at the rate."""
    return Flow(rate)


def one_client(rate: float) -> Flow:
    """Return chat completions that all come from one address: a gateway before the router."""
    return Flow(rate, clients=1)


def impatient(rate: float) -> Flow:
    """Return clients that leave after PATIENCE_S without content."""
    return Flow(rate, patience_s=PATIENCE_S)


def models(rate: float) -> Flow:
    """Return what asks for the list of models all the time: a load balancer's check, a user interface."""
    return Flow(max(rate / 5, 0.2), MODELS, clients=2, bodies=1)


def retrying(rate: float) -> Flow:
    """Return clients that repeat what failed twice."""
    return Flow(rate, retries=2)


def poison(every_s: float = 3.0, bodies: int = 1) -> Callable[[float], Flow]:
    """Return one further client that sends requests on which any version fails."""
    return lambda rate: Flow(1 / every_s, clients=1, bodies=bodies, first=100, poison=True, regular=True)


POISONED: Final = poisoned(FAILS, STEADY)


def _hangs() -> tuple[Scenario, ...]:
    """Return the many forms of an engine that is dead behind a head, a list of models or a comment."""
    return (
        Scenario("hang", breaks(HANGS, STEADY), SOON),
        Scenario("hang, one client", breaks(HANGS, STEADY, one_client), SOON),
        Scenario("hang, impatient clients", breaks(HANGS, STEADY, impatient), SOON),
        Scenario("E1 dead engine, live GET", breaks(alive_server(HANGS), SERVER, chat, models), SOON),
        Scenario("E1 one client", breaks(alive_server(HANGS), SERVER, one_client, models), SOON),
        Scenario("E1 impatient clients", breaks(alive_server(HANGS), SERVER, impatient, models), SOON),
        Scenario("E1 GET gets 404", breaks(by_bucket(MODELS, UNKNOWN, HANGS), SERVER, chat, models), SOON),
        Scenario("E3 keep-alive comments", breaks(SILENT, STREAMING), SOON),
        Scenario("E3 one client", breaks(SILENT, STREAMING, one_client), SOON),
        Scenario("E4 head, then silence", breaks(SILENT, STREAMING, impatient), SOON),
        Scenario("E4 head, then silence, live GET", breaks(alive_server(SILENT), SERVER, impatient, models), SOON),
        Scenario("E6 404 to everything", breaks(UNKNOWN, STEADY), SOON),
        Scenario("E6 404 from the first request", _from_the_start(UNKNOWN), SOON, fault_s=0.0),
        Scenario("E6 behind one gateway", breaks(UNKNOWN, STEADY, one_client), SOON),
        Scenario("empty answers", breaks(always(answers.empty), STEADY), SOON),
        Scenario(
            "1 of 100 useful", breaks(share(0.01, STREAMING, SILENT), STREAMING), {200.0: 60.0, 20.0: 60.0, 2.0: 60.0}
        ),
        Scenario(
            "1 of 100 useful, others 404",
            breaks(share(0.01, STEADY, UNKNOWN), STEADY),
            {200.0: 60.0, 20.0: 60.0, 2.0: 60.0},
        ),
    )


def _from_the_start(fault: Model, probe: ProbeModel | None = None) -> Callable[[float], Service]:
    return lambda rate: replace(promoted(fault, STEADY)(rate), probe=probe)


def _early() -> tuple[Scenario, ...]:
    """Return hangs one second after the promotion: with a baseline and an inference probe, without such a probe, with neither."""
    fault = until(1.0, STEADY, HANGS)
    rates = (200.0, 20.0)

    def probed(rate: float) -> Service:
        return replace(promoted(fault, STEADY)(rate), probe=lambda at_s: "good" if at_s < 1.0 else "timeout")

    def alone(rate: float) -> Service:
        return Service((Flow(rate),), fault)

    return (
        Scenario("E5 baseline and probe", probed, dict.fromkeys(rates, 12.0), 1.0),
        Scenario("E5 baseline", promoted(fault, STEADY), dict.fromkeys(rates, 33.0), 1.0),
        Scenario("E5 neither", alone, dict.fromkeys(rates, 52.0), 1.0),
    )


def _probed() -> tuple[Scenario, ...]:
    """Return what only the inference probe sees."""

    def idle(result: ProbeResult, *, standby: bool = True) -> Callable[[float], Service]:
        return lambda rate: replace(
            promoted(HANGS, STEADY, lambda _: Flow(0.0))(200.0),
            probe=lambda at_s: "good" if at_s < FAULT_AFTER_S else result,
            standby_passes=standby,
        )

    def getting(rate: float) -> Service:
        made = breaks(alive_server(HANGS), SERVER, lambda _: Flow(0.25, MODELS))(200.0)
        return replace(made, probe=lambda at_s: "good" if at_s < FAULT_AFTER_S else "timeout")

    return (
        Scenario("E2 probe fails, no traffic", idle("bad"), {0.2: 60.0}),
        Scenario("E2 probe hangs, no traffic", idle("timeout"), {0.2: 60.0}),
        Scenario("E2 probe hangs, only GETs", getting, {0.2: 60.0}),
        Scenario("E2 both versions fail their probes", idle("bad", standby=False), for_s=300),
    )


def _replicas(
    number: int, bad: int, fault: Model, since_s: float = FAULT_AFTER_S, well: Model = STEADY
) -> Callable[[float], Service]:
    def make(rate: float) -> Service:
        model = Replicas(number, bad, fault, well, since_s)
        return replace(promoted(model, well)(rate), set_aside=model.set_aside)

    return make


def _errors() -> tuple[Scenario, ...]:
    """Return faults of all or many requests; as soon as 5xx."""
    quick = {200.0: 4.0, 20.0: 4.0, 2.0: 20.0, 0.2: 60.0}
    return (
        Scenario("errors 100 %", breaks(FAILS, STEADY), quick),
        Scenario("errors 100 %, clients retry", breaks(FAILS, STEADY, retrying), quick),
        Scenario("errors 100 % behind one gateway", breaks(FAILS, STEADY, one_client), quick),
        Scenario("E7 error as first event", breaks(ERROR_EVENT, STREAMING), quick),
        Scenario("E7 dies after its first token", breaks(always(answers.broken_stream), STREAMING), quick),
        Scenario(
            "errors 30 % from the first request",
            _from_the_start(share(0.3, FAILS, STEADY)),
            {200.0: 15.0, 20.0: 20.0},
            fault_s=0.0,
        ),
        Scenario(
            "two replicas bad of three",
            _replicas(3, 2, FAILS),
            {200.0: 60.0, 20.0: 60.0, 2.0: 120.0},
        ),
    )


def _blameless() -> tuple[Scenario, ...]:
    """Return what looks like a bad version and is one client, one replica or one queue."""

    def replica(fault: Model, since_s: float = FAULT_AFTER_S, well: Model = STEADY) -> Callable[[float], Service]:
        return _replicas(4, 1, fault, since_s, well)

    return (
        Scenario("E8 one replica of four fails", replica(FAILS)),
        Scenario("E8 one replica of four hangs", replica(HANGS)),
        Scenario("E8 one replica of four is twenty times slower", replica(steady(1.0, 8.0))),
        Scenario("E9 from the start, 0.4-s answers", replica(FAILS, 0.0, steady(0.4, 0.4))),
        Scenario(
            "E10 one poison request, no other traffic",
            lambda _: promoted(POISONED, POISONED, poison())(0.2),
            alarm="poison_request",
        ),
        Scenario("E10 among good traffic", promoted(POISONED, POISONED, chat, poison()), alarm="poison_request"),
        Scenario(
            "E10 several of one client", promoted(POISONED, POISONED, chat, poison(1.0, 20)), alarm="one_client_fails"
        ),
        Scenario("E10 a burst of one client", promoted(POISONED, POISONED, chat, poison(0.05, 20)), for_s=200),
    )


def _slow() -> tuple[Scenario, ...]:
    """Return answers after 70 s that are normal for the model."""
    slow, patient = steady(65.0, 75.0), lambda rate: Flow(rate, patience_s=900.0)

    def unknown(rate: float) -> Service:
        return Service((Flow(min(rate, 2.0), patience_s=900.0),), slow)

    def known(after: Model) -> Callable[[float], Service]:
        def make(rate: float) -> Service:
            made = promoted(after, slow, patient, baseline=False)(min(rate, 2.0))
            return replace(made, promoted_s=made.promoted_s + 80.0)

        return make

    broken = until(FAULT_AFTER_S, slow, HANGS)
    return (
        Scenario("E11 70 s, version before known", known(slow)),
        Scenario("E11 70 s, probe passes", lambda rate: replace(unknown(rate), probe=lambda at_s: "good")),
        Scenario("E11 70 s, nothing known", unknown, {2.0: 53.0}, fault_s=0.0),
        Scenario("E11 a real hang", known(broken), {2.0: 320.0}),
    )


def _busy() -> tuple[Scenario, ...]:
    """Return versions that say busy."""
    spike = between(FAULT_AFTER_S, FAULT_AFTER_S + 60, share(0.95, always(answers.throttled), STEADY), STEADY)
    all_busy = between(FAULT_AFTER_S, FAULT_AFTER_S + 20, always(answers.throttled), STEADY)
    return (
        Scenario("E12 a spike of 503 with Retry-After", promoted(spike, STEADY)),
        Scenario("E12 all throttled for 20 s", promoted(all_busy, STEADY)),
        Scenario(
            "E12 throttles everything for ever",
            breaks(always(answers.throttled), STEADY),
            {200.0: 75.0, 20.0: 75.0, 2.0: 80.0},
        ),
    )


SCENARIOS: Final = (*_hangs(), *_early(), *_probed(), *_errors(), *_blameless(), *_slow(), *_busy())
