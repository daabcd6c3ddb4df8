"""Healthy twins: each looks like a scenario of scenarios.py, and no version may be rolled back for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from benchmarks.judge import answers
from benchmarks.judge.answers import Answer
from benchmarks.judge.driver import Model, Service
from benchmarks.judge.models import Batch, Queue, alive_server, always, between, by_bucket, share, steady, streaming
from benchmarks.judge.scenarios import STEADY, Scenario, chat, learned, models, promoted
from benchmarks.judge.traffic import CHAT, MODELS, Flow, Query

FAULT_SHARES: Final = (0.0, 0.001, 0.01, 0.05)
"""Independent faults of a healthy version; the last one only with a baseline that knows them."""
PATIENT_S: Final = 1200.0

Make = Callable[[float], Service]


def with_faults(make: Make, part: float) -> Make:
    """Return the service with independent faults of both versions: a random part of all requests gets a 500."""
    fails = always(answers.failed)

    def made(rate: float) -> Service:
        service = make(rate)
        before = share(part, fails, service.before) if service.before is not None else None
        known = learned(before) if before is not None and service.baseline is not None else None
        return replace(service, after=share(part, fails, service.after), before=before, baseline=known)

    return made if part else make


def _both(model: Callable[[], Model], *flows: Callable[[float], Flow]) -> Make:
    """Return two versions of the same behaviour; each has its own state."""
    return lambda rate: promoted(model(), model(), *flows, baseline=False)(rate)


def _full_queue(rate: float) -> Service:
    """Return four slots with streams of 120 s, and as many clients as keep 20 waiting."""
    flow = Flow(4 / 120 * 1.02, patience_s=PATIENT_S)
    spike = Flow(1.0, patience_s=PATIENT_S, since_s=700.0, until_s=720.0)
    made = promoted(Queue(4, 120.0), Queue(4, 120.0), lambda _: flow, lambda _: spike, baseline=False)(rate)
    return replace(made, promoted_s=650.0, first_byte_timeout_s=PATIENT_S)


def _cold_start(rate: float) -> Service:
    return replace(
        promoted(Batch(20, 25.0, steady(0.2, 0.2)), steady(0.2, 0.2), lambda r: Flow(min(r, 1.0), patience_s=60.0))(
            rate
        ),
        probe=None,
    )


def _unknown_paths(rate: float) -> Service:
    """Return POSTs of 20 addresses to 50 paths that no version knows, once a second, beside little traffic."""
    scans = tuple(Flow(0.02, f"POST /scan/{number}", clients=20, first=200) for number in range(50))
    model = by_bucket(CHAT, STEADY, always(answers.client_error))
    made = promoted(model, STEADY, chat)(rate)
    return replace(made, flows=(*made.flows, *scans))


def _few_keys(query: Query, at_s: float, random: Random) -> Answer:
    return STEADY(query, at_s, random) if random.random() < 0.01 else answers.unauthorised()


def _reasoning(query: Query, at_s: float, random: Random) -> Answer:
    return answers.stream(random.uniform(0.2, 1.0), 90.0)


def _hourly(query: Query, at_s: float, random: Random) -> Answer:
    """Return the one 500 an hour that any service has."""
    return answers.failed() if query.flow.poison else STEADY(query, at_s, random)


def _once_an_hour(rate: float) -> Flow:
    return Flow(1 / 1200, clients=1, bodies=1, first=300, retries=2, poison=True)


def _burst(rate: float) -> Service:
    """Return a version all of whose answers of one second right after its promotion fail."""
    return promoted(between(0.5, 1.5, always(answers.failed), STEADY), STEADY)(rate)


def _leaving(part: float) -> Callable[[float], Flow]:
    """Return clients that give up at half the median of steady(2, 4)."""
    return lambda rate: Flow(rate * part, patience_s=1.5, first=50)


TWINS: Final = (
    Scenario("twin: steady", promoted(STEADY, STEADY)),
    Scenario("twin: streams", promoted(streaming(), streaming())),
    Scenario("twin: one client", promoted(STEADY, STEADY, lambda rate: Flow(rate, clients=1))),
    Scenario("twin: full queue", _full_queue, rates_of=(0.2,)),
    Scenario(
        "twin: WAV of 5 min",
        _both(
            lambda: always(lambda: answers.long_body(300.0)), lambda rate: Flow(min(rate, 2.0), patience_s=PATIENT_S)
        ),
    ),
    Scenario("twin: first 20 answers take 25 s", _cold_start, rates_of=(2.0, 0.2)),
    Scenario("twin: clients leave at half the median", promoted(steady(2, 4), steady(2, 4), chat, _leaving(1.0))),
    Scenario("twin: most clients leave early", promoted(steady(2, 4), steady(2, 4), chat, _leaving(5.0))),
    Scenario("twin: a request with two retries an hour", promoted(_hourly, _hourly, chat, _once_an_hour)),
    Scenario("twin: 50 unknown paths from 20 addresses", _unknown_paths),
    Scenario("twin: 99 % of 401 on both versions", _both(lambda: _few_keys)),
    Scenario(
        "twin: reasoning for 90 s", _both(lambda: _reasoning, lambda rate: Flow(min(rate, 20.0), patience_s=PATIENT_S))
    ),
    Scenario(
        "twin: traffic × 10",
        promoted(STEADY, STEADY, chat, lambda rate: Flow(9 * rate, since_s=750.0)),
        rates_of=(20.0, 2.0, 0.2),
    ),
    Scenario("twin: GET-only API", promoted(STEADY, STEADY, lambda rate: Flow(rate, "GET /v1/items"))),
    Scenario(
        "twin: load balancers' GETs alone",
        promoted(alive_server(STEADY), alive_server(STEADY), lambda _: Flow(0.2, MODELS, clients=2, bodies=1)),
        rates_of=(0.2,),
    ),
    Scenario("twin: load balancers' GETs", promoted(alive_server(STEADY), alive_server(STEADY), chat, models)),
    Scenario("twin: a burst of a second after the promotion", _burst),
    Scenario(
        "twin: a model that takes 30 s",
        _both(lambda: steady(20, 40), lambda rate: Flow(min(rate, 2.0), patience_s=PATIENT_S)),
        rates_of=(2.0, 0.2),
    ),
)


def faulty(part: float) -> Scenario:
    """Return a healthy version with this share of independent faults; its baseline knows them."""
    model = share(part, always(answers.failed), STEADY)
    return Scenario(
        f"twin: {part:.1%} independent faults",
        lambda rate: replace(promoted(model, model)(rate), baseline=learned(model)),
    )


FAULTY: Final = tuple(faulty(part) for part in FAULT_SHARES[1:])
