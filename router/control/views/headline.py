"""The state of a service in one line and one lead, chosen in one place: the page, the command line and the list say the same.

    level  meaning
    act    requests fail now
    warn   an operator is needed
    look   worth a look: it ends by itself, or an operator has made it so
    ok     all is well

A version is called well only if the judge has decided so: without requests the words say that nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from router.runtime import clock
from router.runtime.text.plurals import counted, plural

Level = Literal["ok", "look", "warn", "act"]
State = Literal[
    "no_active", "nothing_useful", "held", "failing", "rolled_back", "no_way_back", "proposal", "observed", "frozen", "drill",
    "probation", "idle", "serving",
]  # fmt: skip
QUIET_S: Final = 3.0
"""Without a useful answer for this long, or for twice the median time to one, nothing is useful."""
ASKED_MIN: Final = 3
IDLE_S: Final = 60.0
_HOUR_S, _DAY_S = 3600, 86_400


class HeadlineDocument(TypedDict):
    """The state of a service in words. `since`, `until`, `by`, `reason`: of the state, null where it has none."""

    level: Level
    """`ok`, `look`, `warn` (an operator is needed), `act` (requests fail now)."""
    state: State
    line: str
    lead: str
    since: str | None
    until: str | None
    by: str | None
    reason: str | None
    params: dict[str, Any]
    """The numbers and names in `line` and `lead`, for clocks that count on their own."""


@dataclass(frozen=True, slots=True)
class ServiceSituation:
    """What the headline is chosen from. Times at a wall clock are seconds since 1970; unknown values are None."""

    at: float
    active: str | None = None
    standby: str | None = None
    since: float | None = None
    """When the active version became active."""
    last_switch: Mapping[str, Any] | None = None
    no_way_back: str | None = None
    objections: tuple[str, ...] = ()
    """Why automation may not roll back now."""
    verdict: Literal["pass", "fail", "inconclusive"] = "inconclusive"
    failing: str | None = None
    """Reason of the trigger that demands a rollback."""
    held: str | None = None
    """Why that rollback is not done."""
    near: str | None = None
    """Reason of a trigger that fails and does not act yet, or the faults of the last seconds."""
    near_distance: str = ""
    observed: str | None = None
    """Reason of a failing trigger whose action is to observe."""
    quiet_s: float = 0.0
    """Seconds without a useful answer while requests wait or were lost; 0 otherwise."""
    median_s: float | None = None
    """Median time to a useful answer."""
    asked_since: int = 0
    waiting: int = 0
    acts_in_s: float | None = None
    """Seconds until the router acts if nothing useful comes."""
    incident: str | None = None
    """The last rollback's incident, while it is not closed."""
    proposal: Mapping[str, Any] | None = None
    """id, kind, to, opened_by, reason, expires_at of the oldest proposal that waits."""
    frozen: Mapping[str, Any] | None = None
    drill_home: str | None = None
    """The version to which a drill goes home."""
    drill_left_s: float = 0.0
    on_probation: bool = False
    probation_left_s: float = 0.0
    probation_requests: int = 0
    probation_requests_needed: int = 0
    last_request_age_s: float | None = None
    requests: int | None = None
    """Requests of the last IDLE_S."""


@dataclass(frozen=True, slots=True)
class _Words:
    level: Level
    state: State
    line: str
    lead: str
    since: float | None = None
    until: float | None = None
    by: str | None = None
    reason: str | None = None
    params: dict[str, Any] = field(default_factory=dict)


def headline(now: ServiceSituation) -> HeadlineDocument:
    """Return the first state that fits."""
    words = next(_states(now))
    return {
        "level": words.level,
        "state": words.state,
        "line": words.line,
        "lead": words.lead,
        "since": _iso(words.since if words.since is not None else now.since),
        "until": _iso(round(words.until) if words.until is not None else None),  # it must not move each second
        "by": words.by,
        "reason": words.reason,
        "params": words.params,
    }


def _states(now: ServiceSituation) -> Iterator[_Words]:
    if now.active is None:
        yield _Words(
            "act", "no_active", "No active version", "Every request is answered 503. Deploy a version and promote it."
        )
        return
    yield from _failing_now(now, now.active)
    yield from _needs_operator(now, now.active)
    yield from _worth_a_look(now, now.active)
    by, reason = _switched(now)
    judged = now.verdict == "pass"
    line = "All is well." if judged else f"Too few requests for a verdict on {now.active}."
    yield _Words("ok", "serving", f"Serving {now.active}", f"{line} {_warm(now)}", by=by, reason=reason)


# -- requests fail now
def is_quiet(quiet_s: float, median_s: float | None, asked: int) -> bool:
    """Return whether a version counts as useless: no useful answer for so long, although it was asked `asked` times since.
    `median_s`: the usual time to a useful answer.
    """
    return quiet_s >= max(QUIET_S, 2 * (median_s or 0.0)) and asked >= ASKED_MIN


def _failing_now(now: ServiceSituation, active: str) -> Iterator[_Words]:
    if is_quiet(now.quiet_s, now.median_s, now.asked_since):
        seconds = int(now.quiet_s)
        lead = (
            f"{active} was asked {counted(now.asked_since, 'time')} since and gave nothing useful; "
            f"{counted(now.waiting, 'request')} {plural('waits', now.waiting)}{_prospect(now)}"
        )
        params = {
            "seconds": seconds, "asked": now.asked_since, "waiting": now.waiting, "acts_in_s": now.acts_in_s,
            "version": active, "standby": now.standby,
        }  # fmt: skip
        yield _Words(
            "act", "nothing_useful", f"Nothing useful for {seconds} s", lead, since=now.at - now.quiet_s, params=params
        )
    if now.failing is not None and now.held is not None:
        lead = f"{_sentence(now.failing)} Held: {now.held}."
        yield _Words("act", "held", f"{active} fails, and cannot be rolled back", lead, params={"version": active})


def _prospect(now: ServiceSituation) -> str:
    """Return what will be done if nothing useful comes."""
    if now.no_way_back is not None:
        return f", and there is no way back: {now.no_way_back}."
    if now.objections:
        return f". The router does not go back by itself: {'; '.join(now.objections)}."
    if now.acts_in_s is None:
        return "."
    return f". If this goes on, the router goes back to {now.standby} in {now.acts_in_s:.0f} s."


# -- an operator is needed
def _needs_operator(now: ServiceSituation, active: str) -> Iterator[_Words]:
    if now.near is not None:
        distance = f" It {now.near_distance}." if now.near_distance else ""
        yield _Words("warn", "failing", f"{active} may be failing", _sentence(now.near) + distance)
    by, reason = _switched(now)
    last = now.last_switch
    if last is not None and last["type"] == "rolled_back" and now.standby is None and now.incident is not None:
        well = f"{active} has served well since" if now.verdict == "pass" else f"{active} serves since"
        how = "by itself" if last["cause"] == "verdict" else f"by {last['actor']}"
        lead = (
            f"{_age(now.at - last['at'])} ago, {how}: {_sentence(last['reason'] or 'no reason given')} {well}, but there is no "
            "way back until another version stands by."
        )
        yield _Words(
            "warn",
            "rolled_back",
            f"Rolled back to {active}",
            lead,
            last["at"],
            None,
            by,
            reason,
            _rollback_params(now, last),
        )
    if now.no_way_back is not None:
        well = "does well" if now.verdict == "pass" else "serves"
        lead = f"{active} {well}, but a rollback is impossible now: {now.no_way_back}."
        yield _Words("warn", "no_way_back", f"Serving {active}, no way back", lead, by=by, reason=reason)
    if now.proposal is not None:
        yield _asked(now, active, now.proposal)
    if now.observed is not None:
        lead = f"{_sentence(now.observed)} The rule only observes, so nothing is rolled back."
        yield _Words("warn", "observed", f"{active} fails, and the router only observes", lead, by=by, reason=reason)


def _rollback_params(now: ServiceSituation, last: Mapping[str, Any]) -> dict[str, Any]:
    trigger = last.get("trigger") or {}
    return {
        "version": now.active,
        "left": last["from"],
        "incident": now.incident,
        "automatic": last["cause"] == "verdict",
        "swap_us": last.get("swap_us"),
        "confirmed_ms": last.get("confirmed_ms"),
        **{name: trigger.get(name) for name in ("kind", "detail", "value", "limit")},
    }


def _asked(now: ServiceSituation, active: str, proposal: Mapping[str, Any]) -> _Words:
    question = "to promote" if proposal["kind"] == "promotion" else "whether to go back to"
    state = ", on probation" if now.on_probation else ""
    lead = f"{proposal['opened_by']} asks {question} {proposal['to'] or 'nothing'}: {_sentence(proposal['reason'])}"
    params = {"proposal": proposal["id"], "version": active, "to": proposal["to"]}
    until = proposal["expires_at"]
    return _Words(
        "warn",
        "proposal",
        f"Serving {active}{state}",
        lead,
        None,
        until,
        proposal["opened_by"],
        proposal["reason"],
        params,
    )


# -- worth a look
def _worth_a_look(now: ServiceSituation, active: str) -> Iterator[_Words]:
    by, reason = _switched(now)
    if now.frozen is not None:
        frozen = now.frozen
        why = f": {_sentence(frozen['reason'])}" if frozen["reason"] else "."
        lead = f"{frozen['actor']} froze it {_age(now.at - frozen['at'])} ago{why} Nothing is rolled back by itself."
        line = f"Serving {active}, automation frozen"
        yield _Words("look", "frozen", line, lead, frozen["at"], None, frozen["actor"], frozen["reason"] or None)
    if now.drill_home is not None:
        seconds = max(0, round(now.drill_left_s))
        lead = f"Then home to {now.drill_home}."
        params = {"seconds": seconds, "version": active, "home": now.drill_home}
        yield _Words(
            "look", "drill", f"Drill: on {active} for {seconds} s more", lead, until=now.at + seconds, params=params
        )
    if now.on_probation:
        until = now.at + now.probation_left_s if now.probation_left_s > 0 else None
        params = {"left_s": round(now.probation_left_s), "version": active, "standby": now.standby}
        line = f"Serving {active}, on probation"
        yield _Words("look", "probation", line, _probation(now), None, until, by, reason, params)
    if now.requests == 0:
        age_s = now.last_request_age_s
        last = f"The last request was {_age(age_s)} ago." if age_s is not None else "No request has come yet."
        params = {"last_request_age_s": None if age_s is None else round(age_s)}
        line = f"{active} is active, no requests come"
        yield _Words("look", "idle", line, f"{last} {_warm(now)}", by=by, reason=reason, params=params)


def _probation(now: ServiceSituation) -> str:
    left_s, needed = now.probation_left_s, now.probation_requests_needed
    left = f"{int(left_s) // 60}:{int(left_s) % 60:02d} left." if left_s > 0 else "Its time is over."
    if now.probation_requests < needed:
        left += f" {now.probation_requests} of {counted(needed, 'request')} so far."
    well = "It does well so far. " if now.verdict == "pass" else ""
    return f"{left} {well}{_warm(now, short=True)}"


# -- words
def _warm(now: ServiceSituation, *, short: bool = False) -> str:
    if now.standby is None:
        return "There is no standby."
    return f"{now.standby} is warm." if short else f"{now.standby} is warm, so a rollback is possible at any moment."


def _switched(now: ServiceSituation) -> tuple[str | None, str | None]:
    """Return who made the active version active, and why."""
    last = now.last_switch
    if last is None or last["to"] != now.active:
        return None, None
    return last["actor"], last["reason"] or None


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _age(seconds: float) -> str:
    """Return `40 s`, `6 min`, `5 h` or `3 d`."""
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{int(seconds)} s"
    if seconds < 2 * _HOUR_S:
        return f"{int(seconds) // 60} min"
    return f"{int(seconds) // _HOUR_S} h" if seconds < 2 * _DAY_S else f"{int(seconds) // _DAY_S} d"


def _iso(at_s: float | None) -> str | None:
    return None if at_s is None else clock.iso(at_s)
