"""What is allowed in the settings and yet unwise: a place each, with the reason and the remedy.

`config check` shows what contradicts itself or has no effect. `doctor` also shows what may be blind: a probe that does not run
the model, limits below what a model server takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from router.settings.sections.service import Service, TargetSeed
from router.settings.settings import Settings

FOUND_WITHIN_S: Final = 55.0
"""Without traffic, a dead model has to be found by probes within about a minute."""
FAILING_S: Final = 15.0
"""An inference probe fails for this time, and for three time-outs, before a version is judged by it."""
FIRST_BYTE_MIN_S: Final = 30.0
"""Model servers answer whole answers after minutes; a shorter limit cuts healthy ones."""


def contradictions(settings: Settings) -> Iterator[str]:
    """Yield what contradicts itself or has no effect."""
    for name, service in sorted(settings.services.items()):
        place = f"services.{name}"
        yield from _slow_probe(place, service)
        yield from _one_endpoint(place, service)
        yield from (f"{place}.inference.{line}" for line in service.inference.useless(service.path_prefix))
        yield from _limits(place, service, settings.timeouts.first_byte_timeout_s)
        yield from _rescue(place, service, settings)
    yield from _limits_of_rescue(settings)


def blind_spots(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield (place, what the settings cannot see, remedy)."""
    for name, service in sorted(settings.services.items()):
        place = f"services.{name}"
        probe = service.probe
        if probe == "none" or not probe.inference:
            what = "only a connection" if probe == "none" else f"{probe.method} {probe.path}"
            yield (
                f"{place}.probe",
                f"the probe is {what}, which a server with a dead engine may answer",
                'probe the model: method = "POST" with a small request, or infers = true; see docs/behaviour/probes.md',
            )
        elif probe.expect_status_below > 400:
            yield (
                f"{place}.probe",
                f"an inference probe that is answered {probe.expect_status_below - 1} counts as good",
                "set expect_status_below = 400",
            )
        first_byte_s = service.first_byte_timeout_s or settings.timeouts.first_byte_timeout_s
        if first_byte_s < FIRST_BYTE_MIN_S:
            yield (
                f"{place}.first_byte_timeout_s" if service.first_byte_timeout_s else "timeouts.first_byte_timeout_s",
                f"an answer that takes longer than {first_byte_s:g} s is cut and counts as a fault",
                "set it above what the model takes for its longest answers",
            )


def _slow_probe(place: str, service: Service) -> Iterator[str]:
    probe = service.probe
    if probe == "none" or not probe.inference:
        return
    found_s = probe.interval_s + probe.probe_timeout_s + max(FAILING_S, 3 * probe.probe_timeout_s)
    if found_s > FOUND_WITHIN_S:
        yield (
            f"{place}.probe: every_s {probe.interval_s:g} and probe_timeout_s {probe.probe_timeout_s:g} find a dead model "
            f"without traffic only after {found_s:g} s: choose smaller ones, so that it is at most {FOUND_WITHIN_S:g} s"
        )


def _one_endpoint(place: str, service: Service) -> Iterator[str]:
    active, standby = service.active, service.standby
    if active is None or standby is None:
        return
    shared = sorted(set(active.endpoints) & set(standby.endpoints))
    if shared and active.rewrite == standby.rewrite:
        yield (
            f"{place}: {active.version} and {standby.version} are the same server at {shared[0]}, so a rollback changes "
            "nothing: give them other endpoints, or a host, path_prefix or headers_file by which the server tells them apart"
        )


def _limits(place: str, service: Service, first_byte_timeout_s: float) -> Iterator[str]:
    rule, limit_s = service.rules.hard_failure, service.first_byte_timeout_s or first_byte_timeout_s
    if limit_s < rule.hang_wait_min_s:
        yield (
            f"{place}: first_byte_timeout_s {limit_s:g} is below rules.hard_failure.hang_wait_min_s "
            f"{rule.hang_wait_min_s:g}, so no request ever counts as waiting: choose a larger first_byte_timeout_s"
        )
    elif limit_s < rule.hang_after_min_s:
        yield (
            f"{place}: first_byte_timeout_s {limit_s:g} is below rules.hard_failure.hang_after_min_s "
            f"{rule.hang_after_min_s:g}, so requests are cut before a hang is judged: choose a larger first_byte_timeout_s, or a "
            "smaller hang_after_min_s"
        )
    if rule.hang_after_min_s > rule.hang_after_max_s:
        yield (
            f"{place}.rules.hard_failure: hang_after_min_s {rule.hang_after_min_s:g} is above hang_after_max_s "
            f"{rule.hang_after_max_s:g}: choose a smaller one"
        )


def _rescue(place: str, service: Service, settings: Settings) -> Iterator[str]:
    if service.replay == "always" and settings.limits.attempts_max == 1:
        yield (
            f'{place}: replay is "always", and limits.attempts_max is 1, so no request is sent again: '
            "set limits.attempts_max to 2 or more"
        )


def _limits_of_rescue(settings: Settings) -> Iterator[str]:
    limits = settings.limits
    if limits.rescue_in_flight_max > limits.in_flight_max:
        yield (
            f"limits: rescue_in_flight_max {limits.rescue_in_flight_max} is above in_flight_max {limits.in_flight_max}, which "
            "is reached first: choose a smaller rescue_in_flight_max"
        )


def headers_files(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (place, path) of each headers file."""
    for name, service in sorted(settings.services.items()):
        seeds: tuple[tuple[str, TargetSeed | None], ...] = (("active", service.active), ("standby", service.standby))
        for role, seed in seeds:
            if seed is not None and seed.headers_file is not None:
                yield f"services.{name}.{role}", seed.headers_file
