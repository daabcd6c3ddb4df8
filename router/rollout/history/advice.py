"""Proposes better rules: present, looser and stricter rules are backtested over the stored rows.

An alarm is right if a rollback of the same version followed within `MATCH_S`, or came at most a row before it; the time between
is its lead. All other alarms count as false, although some may have been justified. False alarms a month have exact
bounds (Poisson): two days without a false alarm only show fewer than 45 a month.

Stricter rules need a week of data. They are proposed only with few enough false alarms, and if they detect no rollback later than
the present rules.
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
from router.runtime.text.plurals import counted

MATCH_S: Final = 1_800.0
LATE_S: Final = 15.0
"""An alarm of a backtest has the time of the end of a row."""
MONTH_S: Final = 30 * 86_400.0
DAYS_MIN: Final = 7.0
_CONFIDENCE: Final = 0.95
_LOOSER: Final = "twice as loose"
_FACTORS: Final = ((2.0, _LOOSER), (0.5, "twice as strict"), (0.25, "4 × as strict"), (0.1, "10 × as strict"))
_SHOWN_MAX: Final = 20
KINDS: Final[tuple[ReplayedKind, ...]] = ("hard_failure", "error_rate", "latency")
NOTES: Final = (
    "Rows are ten seconds long: an alarm is dated up to ten seconds late, and of hard_failure only errors are replayed, not "
    "hangs and refused connections; a failure of a few seconds is averaged over its row.",
    "False means: no rollback of that version followed within 30 minutes. Examine each: some may have been justified.",
)


class KnownRollback(NamedTuple):
    """A real rollback: wall seconds, the version that was left, the trigger or actor."""

    at_s: float
    left: str
    by: str


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """The alarms of one trial against the rollbacks. `leads_s`: seconds before each rollback (negative: after)."""

    trial: Trial
    caught: tuple[int, ...]
    leads_s: tuple[float, ...]
    false: tuple[Alarm, ...]

    @property
    def seconds(self) -> float:
        """Time of active versions in the trial."""
        return self.trial.seconds

    @property
    def per_month(self) -> float:
        """Expected false alarms in 30 days."""
        return len(self.false) * MONTH_S / self.seconds if self.seconds else 0.0

    @property
    def between(self) -> tuple[float, float] | None:
        """The bounds of `per_month`, 95 % each; None without data."""
        if not self.seconds:
            return None
        lower, upper = bounds(len(self.false), _CONFIDENCE)
        return lower * MONTH_S / self.seconds, upper * MONTH_S / self.seconds


def trials(rules: Rules, first_byte_timeout_s: float, usual_us: Sequence[int]) -> dict[ReplayedKind, list[Trial]]:
    """Return the trials by kind, the present rules first. `usual_us`: a histogram of first-byte times."""
    found: dict[ReplayedKind, list[tuple[str, Rules]]] = {
        "hard_failure": [
            (name, replace(rules, hard_failure=rule)) for name, rule in _hard_failure_variants(rules.hard_failure)
        ],
        "error_rate": [
            (name, replace(rules, error_rate=rule)) for name, rule in _error_rate_variants(rules.error_rate)
        ],
        "latency": [(name, replace(rules, latency=rule)) for name, rule in _latency_variants(rules.latency, usual_us)],
    }
    return {
        kind: [Trial(name, kind, rule, first_byte_timeout_s) for name, rule in named] for kind, named in found.items()
    }


def _hard_failure_variants(rule: HardFailureRule) -> list[tuple[str, HardFailureRule]]:
    fewer, less = max(rule.burst_faults_min // 2, 3), round(max(rule.burst_fault_share - 0.2, 0.5), 3)
    return [
        ("as it is", rule),
        ("fewer faults", replace(rule, burst_faults_min=fewer)),
        ("smaller share", replace(rule, burst_fault_share=less)),
        ("both", replace(rule, burst_faults_min=fewer, burst_fault_share=less)),
    ]


def _error_rate_variants(rule: ErrorRateRule) -> list[tuple[str, ErrorRateRule]]:
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


def _latency_variants(rule: LatencyRule, usual_us: Sequence[int]) -> list[tuple[str, LatencyRule]]:
    if rule.slo_on == "useful":
        return [("not replayed: the history has no times to the first useful byte", rule)]
    if rule.slo_ms is not None:
        shares = [(name, replace(rule, slo_share=_share(rule.slo_share * factor))) for factor, name in _FACTORS]
        sooner = replace(rule, sustained_s=max(rule.sustained_s / 5, 10.0))
        return [("as it is", rule), *shares, ("sooner", sooner), ("sooner, twice as strict", _half_share(sooner))]
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


def _half_share(rule: LatencyRule) -> LatencyRule:
    return replace(rule, slo_share=_share(rule.slo_share / 2))


def _share(value: float) -> float:
    return min(float(f"{value:.3g}"), 1.0)


def _round_ms(value: float) -> float:
    return float(f"{value:.2g}")


def match_rollbacks(trial: Trial, rollbacks: Sequence[KnownRollback]) -> CandidateResult:
    """Return the alarms of a trial, matched with the rollbacks.

    A rollback by this kind of trigger counts as detected by the present rules and by stricter ones, with no lead, even if the
    rows are too coarse to show it.
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
    """Return the index of the first rollback of that version during the alarm, or within MATCH_S after it."""
    for number, rollback in enumerate(rollbacks):
        early = rollback.at_s - alarm.until_ms / 1000 <= MATCH_S
        if rollback.left == alarm.version and early and alarm.at_ms / 1000 <= rollback.at_s + LATE_S:
            return number
    return None


def choose(outcomes: Sequence[CandidateResult], days: float, per_month_max: float) -> tuple[CandidateResult, str]:
    """Return the proposed result (the first one is the present rule) and the reason."""
    present = outcomes[0]
    good = [found for found in outcomes if found.per_month <= per_month_max and found.trial.exhausted_ms is None]
    if present.per_month > per_month_max:
        for found in good:
            if set(found.caught) >= set(present.caught):
                return (
                    found,
                    f"{counted(found.per_month, 'false alarm', '.1f')} a month instead of {present.per_month:.1f}",
                )
        return (
            present,
            'it has too many false alarms, and no tried limits detect as many rollbacks with fewer: action = "observe"',
        )
    if days < DAYS_MIN:
        return (
            present,
            f"{counted(days, 'day', '.1f')} are too little to propose anything stricter ({DAYS_MIN:g} are needed)",
        )
    best = max(good, key=_worth, default=present)
    if _worth(best) <= (len(present.caught), _lead(present) + 1.0):
        return present, "no tried limits detect more rollbacks, or earlier, without more false alarms"
    return best, (
        f"{len(best.caught)} instead of {counted(len(present.caught), 'rollback')} detected, {_lead(best):.0f} instead of "
        f"{_lead(present):.0f} s before, with {counted(len(best.false), 'false alarm')} in {counted(days, 'day', '.0f')}"
    )


def _worth(found: CandidateResult) -> tuple[int, float]:
    return len(found.caught), _lead(found)


def _lead(found: CandidateResult) -> float:
    return sum(found.leads_s) / len(found.leads_s) if found.leads_s else 0.0


def changed_settings(kind: ReplayedKind, before: Rules, after: Rules) -> dict[str, Any]:
    """Return the members of a rule that differ between `before` and `after`."""
    old, new = asdict(getattr(before, kind)), asdict(getattr(after, kind))
    return {name: value for name, value in new.items() if value != old[name]}


def settings(service: str, changes: Mapping[ReplayedKind, dict[str, Any]]) -> str:
    """Return TOML for the settings; "" without changes. Present members must be replaced."""
    name = service if service.replace("-", "").replace("_", "").isalnum() else f'"{service}"'
    tables = [
        "\n".join([f"[services.{name}.rules.{kind}]", *(f"{member} = {value!r}" for member, value in members.items())])
        for kind, members in changes.items()
        if members
    ]
    return "\n\n".join(tables) + "\n" if tables else ""


def recorded_alarms(rows: Iterable[Row], actions: Mapping[ReplayedKind, str]) -> list[dict[str, Any]]:
    """Return when rules with another action than `rollback` would have acted, as recorded in the rows."""
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


def as_document(found: CandidateResult, present: Rules) -> dict[str, Any]:
    """Return one result as plain data."""
    between = found.between
    return {
        "name": found.trial.name,
        "settings": changed_settings(found.trial.kind, present, found.trial.rules),
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
