"""Which limits would have done better, judged by what was: present, looser and stricter rules replayed over the kept rows.

An alarm that a rollback of the same version followed within `MATCH_S`, or overtook by a row, was right, and how long before is
its lead; every other one was false, as far as anybody knows: whoever reads it may know better. False alarms a month come with
exact bounds (Poisson), because of two days without one nobody can say more than "fewer than 45 a month".

Nothing stricter than what is there is proposed on less than a week of data, and only what would have had few enough false
alarms and would have seen no rollback later than the present rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

from router.rollout.history.backtest import Alarm, ReplayedKind, Trial
from router.rollout.history.row import Row
from router.rollout.judge.rules import ErrorRateRule, HardFailureRule, LatencyRule, Rules
from router.rollout.stats.bounds import bounds
from router.rollout.stats.histogram import quantile

MATCH_S: Final = 1_800.0
LATE_S: Final = 15.0
"""An alarm of a replay is dated by the end of a row."""
MONTH_S: Final = 30 * 86_400.0
DAYS_MIN: Final = 7.0
_SURE: Final = 0.95
_LOOSER: Final = "twice as loose"
_FACTORS: Final = ((2.0, _LOOSER), (0.5, "twice as strict"), (0.25, "4 × as strict"), (0.1, "10 × as strict"))
_SHOWN_MAX: Final = 20
KINDS: Final[tuple[ReplayedKind, ...]] = ("hard_failure", "error_rate", "latency")
NOTES: Final = (
    "Rows are ten seconds long: an alarm is dated up to ten seconds late, and of hard_failure only errors are replayed, not "
    "hangs and refused connections; trouble of seconds is thinned by the rest of its row.",
    "False means: no rollback of that version followed within 30 minutes. Look at them: some may have been right.",
)


class KnownRollback(NamedTuple):
    """What really happened: wall seconds, the version that was left, who or what decided."""

    at_s: float
    left: str
    by: str


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """What became of the alarms of one trial. `leads_s` by rollback: seconds before it (negative: after)."""

    trial: Trial
    caught: tuple[int, ...]
    leads_s: tuple[float, ...]
    false: tuple[Alarm, ...]

    @property
    def seconds(self) -> float:
        """How much time of active versions was looked at."""
        return self.trial.seconds

    @property
    def per_month(self) -> float:
        """False alarms in 30 days, as expected from what was seen."""
        return len(self.false) * MONTH_S / self.seconds if self.seconds else 0.0

    @property
    def between(self) -> tuple[float, float] | None:
        """The bounds of that at 95 % each; None without data."""
        if not self.seconds:
            return None
        lower, upper = bounds(len(self.false), _SURE)
        return lower * MONTH_S / self.seconds, upper * MONTH_S / self.seconds


def trials(rules: Rules, first_byte_timeout_s: float, usual_us: Sequence[int]) -> dict[ReplayedKind, list[Trial]]:
    """Return what is put on trial, by kind: the present rules first. `usual_us`: a histogram of first-byte times."""
    found: dict[ReplayedKind, list[tuple[str, Rules]]] = {
        "hard_failure": [(name, replace(rules, hard_failure=rule)) for name, rule in _breaking(rules.hard_failure)],
        "error_rate": [(name, replace(rules, error_rate=rule)) for name, rule in _erring(rules.error_rate)],
        "latency": [(name, replace(rules, latency=rule)) for name, rule in _late(rules.latency, usual_us)],
    }
    return {
        kind: [Trial(name, kind, rule, first_byte_timeout_s) for name, rule in named] for kind, named in found.items()
    }


def _breaking(rule: HardFailureRule) -> list[tuple[str, HardFailureRule]]:
    fewer, less = max(rule.burst_faults_min // 2, 3), round(max(rule.burst_fault_share - 0.2, 0.5), 3)
    return [
        ("as it is", rule),
        ("fewer faults", replace(rule, burst_faults_min=fewer)),
        ("smaller share", replace(rule, burst_fault_share=less)),
        ("both", replace(rule, burst_faults_min=fewer, burst_fault_share=less)),
    ]


def _erring(rule: ErrorRateRule) -> list[tuple[str, ErrorRateRule]]:
    return [
        ("as it is", rule),
        *(
            (
                name,
                replace(
                    rule,
                    rate_floor=_share(rule.rate_floor * factor),
                    rate_floor_without_baseline=_share(rule.rate_floor_without_baseline * factor),
                    baseline_factor=round(max(1 + (rule.baseline_factor - 1) * factor, 1.05), 3),
                ),
            )
            for factor, name in _FACTORS
        ),
    ]


def _late(rule: LatencyRule, usual_us: Sequence[int]) -> list[tuple[str, LatencyRule]]:
    if rule.slo_ms is not None:
        shares = [(name, replace(rule, slo_share=_share(rule.slo_share * factor))) for factor, name in _FACTORS]
        sooner = replace(rule, sustained_s=max(rule.sustained_s / 5, 10.0))
        return [("as it is", rule), *shares, ("sooner", sooner), ("sooner, twice as strict", _both(sooner))]
    p99_us = quantile(usual_us, 0.99)
    if p99_us is None:
        return [("not configured", rule)]
    return [
        ("not configured", rule),
        *(
            (f"slo_ms = {factor:g} × the usual p99", replace(rule, slo_ms=_round_ms(p99_us * factor / 1000)))
            for factor in (1.5, 2.0, 3.0, 5.0)
        ),
    ]


def _both(rule: LatencyRule) -> LatencyRule:
    return replace(rule, slo_share=_share(rule.slo_share / 2))


def _share(value: float) -> float:
    return min(float(f"{value:.3g}"), 1.0)


def _round_ms(value: float) -> float:
    return float(f"{value:.2g}")


def judged(trial: Trial, rollbacks: Sequence[KnownRollback]) -> CandidateResult:
    """Return what the alarms of a trial were worth.

    What the running router rolled back by this kind of trigger the present rule has seen, and every stricter one would have,
    though rows may be too coarse to show it: with no lead.
    """
    leads: dict[int, float] = {}
    if trial.name != _LOOSER:
        leads = {number: 0.0 for number, one in enumerate(rollbacks) if one.by.partition(".")[0] == trial.kind}
    false = []
    for alarm in trial.alarms:
        number = _followed(alarm, rollbacks)
        if number is None:
            false.append(alarm)
        else:
            leads[number] = max(leads.get(number, float("-inf")), rollbacks[number].at_s - alarm.at_ms / 1000)
    numbers = tuple(sorted(leads))
    return CandidateResult(trial, numbers, tuple(leads[number] for number in numbers), tuple(false))


def _followed(alarm: Alarm, rollbacks: Sequence[KnownRollback]) -> int | None:
    """Return the number of the first rollback of that version which came while the alarm stood, or soon after."""
    for number, rollback in enumerate(rollbacks):
        early = rollback.at_s - alarm.until_ms / 1000 <= MATCH_S
        if rollback.left == alarm.version and early and alarm.at_ms / 1000 <= rollback.at_s + LATE_S:
            return number
    return None


def proposed(outcomes: Sequence[CandidateResult], days: float, per_month_max: float) -> tuple[CandidateResult, str]:
    """Return the outcome to go by (the first one is the present rule) and why."""
    present = outcomes[0]
    good = [found for found in outcomes if found.per_month <= per_month_max and found.trial.exhausted_ms is None]
    if present.per_month > per_month_max:
        for found in good:
            if set(found.caught) >= set(present.caught):
                return found, f"{found.per_month:.1f} false alarms a month instead of {present.per_month:.1f}"
        return (
            present,
            'it has too many false alarms, and nothing that was tried sees as much with fewer: action = "observe"',
        )
    if days < DAYS_MIN:
        return present, f"{days:.1f} days are too little to propose anything stricter ({DAYS_MIN:g} are needed)"
    best = max(good, key=_worth, default=present)
    if _worth(best) <= (len(present.caught), _lead(present) + 1.0):
        return present, "nothing that was tried sees more, or sooner, without more false alarms"
    return best, (
        f"{len(best.caught)} instead of {len(present.caught)} rollbacks seen, {_lead(best):.0f} instead of "
        f"{_lead(present):.0f} s before, with {len(best.false)} false alarms in {days:.0f} days"
    )


def _worth(found: CandidateResult) -> tuple[int, float]:
    return len(found.caught), _lead(found)


def _lead(found: CandidateResult) -> float:
    return sum(found.leads_s) / len(found.leads_s) if found.leads_s else 0.0


def changed(kind: ReplayedKind, before: Rules, after: Rules) -> dict[str, Any]:
    """Return the members of a rule that `after` has otherwise than `before`."""
    old, new = asdict(getattr(before, kind)), asdict(getattr(after, kind))
    return {name: value for name, value in new.items() if value != old[name]}


def settings(service: str, changes: Mapping[ReplayedKind, dict[str, Any]]) -> str:
    """Return TOML to paste; "" if nothing is to be changed. Members that are there already have to be replaced."""
    name = service if service.replace("-", "").replace("_", "").isalnum() else f'"{service}"'
    tables = [
        "\n".join([f"[services.{name}.rules.{kind}]", *(f"{member} = {value!r}" for member, value in members.items())])
        for kind, members in changes.items()
        if members
    ]
    return "\n\n".join(tables) + "\n" if tables else ""


def recorded(rows: Iterable[Row], actions: Mapping[ReplayedKind, str]) -> list[dict[str, Any]]:
    """Return when rules that only observe, or ask, said that they would act, as the running router saw it."""
    found: list[dict[str, Any]] = []
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        for name in row.failing.split():
            kind = next((kind for kind in actions if name.rstrip("!").partition(".")[0] == kind), None)
            if not name.endswith("!") or kind is None or actions[kind] == "rollback":
                continue
            known = latest.get((name, row.version))
            if known is not None and row.at_ms - known["until_ms"] <= MATCH_S * 1000:
                known["until_ms"] = row.at_ms
                continue
            known = {"trigger": name[:-1], "version": row.version, "at_ms": row.since_ms, "until_ms": row.at_ms}
            latest[name, row.version] = known
            found.append(known)
    return found


def told(found: CandidateResult, present: Rules) -> dict[str, Any]:
    """Return one outcome as plain data."""
    between = found.between
    return {
        "name": found.trial.name,
        "settings": changed(found.trial.kind, present, found.trial.rules),
        "alarms": len(found.trial.alarms),
        "caught": list(found.caught),
        "leads_s": [round(lead, 1) for lead in found.leads_s],
        "false": len(found.false),
        "false_per_month": round(found.per_month, 3),
        "false_per_month_between": None if between is None else [round(bound, 3) for bound in between],
        "seconds": found.seconds,
        "exhausted_ms": found.trial.exhausted_ms,
        "false_alarms": [asdict(alarm) for alarm in found.false[:_SHOWN_MAX]],
    }
