"""The pages of features have one form and the numbers of the code, and the runbook has every alarm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from router.control.alerts.bodies import LABELS_MAX
from router.control.cases import builder
from router.control.history.advice_addon import TIMEOUT_S
from router.control.monitors.alarm_table import ALARMS
from router.control.notify import delivery_queue
from router.proxy.tap.failure_recorder import BURST, RATE_PER_S
from router.proxy.tap.tap import KEPT_BYTES_MAX
from router.proxy.tap.validation import FULL_SAMPLING_S
from router.rollout.cases.redaction import TEXT_CHARS_MAX
from router.rollout.drills.drill import RETURN_WAIT_S
from router.rollout.history.advice import DAYS_MIN, MATCH_S
from router.rollout.machine.registry import RETIRED_MAX
from router.rollout.model.route import SLOTS
from router.rollout.notifications.feed import CONFIRM_WAIT_S
from router.rollout.versions.active_periods import ACTIVE_PERIODS_MAX
from tests.documents.pages import ROOT, name_of

HEADINGS: Final = ["Purpose", "Turn it on", "Commands", "API", "What can go wrong", "Limits"]
FEATURES: Final = sorted((ROOT / "docs" / "features").glob("*.md"))
FACTS: Final = (
    ("versions", f"A service has {SLOTS} slots"),
    ("versions", f"{RETIRED_MAX} versions without a slot are kept"),
    ("versions", f"has the last {ACTIVE_PERIODS_MAX:,} active periods"),
    ("alerts", f"{LABELS_MAX} labels an alert"),
    ("validators", f"all answers of that version for {FULL_SAMPLING_S:g} seconds".replace("10", "ten")),
    ("notifications", f"or {CONFIRM_WAIT_S:g} s later"),
    ("notifications", f"up to {delivery_queue.PAUSE_MAX_S / 60:g} min"),
    ("cases", f"The ring keeps {BURST} requests at once, then {RATE_PER_S:g} a second".replace("10 a", "ten a")),
    ("cases", f"at most {KEPT_BYTES_MAX >> 20} MiB per worker and service"),
    ("cases", f"every text of more than {TEXT_CHARS_MAX:,} characters"),
    ("cases", f"up to {builder.CASES_MAX} of them become *cases*"),
    ("drills", f"was unfit for {RETURN_WAIT_S:g} s"),
    ("advise", f"on less than {DAYS_MIN:g} days"),
    ("advise", f"followed within {MATCH_S / 60:g} minutes"),
    ("advise", f"ended after {TIMEOUT_S:g} s"),
)
RUNBOOK: Final = ROOT / "docs" / "operations" / "runbook.md"


@pytest.mark.parametrize("page", FEATURES, ids=name_of)
def test_a_feature_has_the_six_headings(page: Path) -> None:
    assert re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize(("feature", "fact"), FACTS)
def test_a_number_of_a_feature_is_that_of_the_code(feature: str, fact: str) -> None:
    assert fact in " ".join((ROOT / "docs" / "features" / f"{feature}.md").read_text("utf-8").split())


def test_the_runbook_has_every_alarm() -> None:
    section = RUNBOOK.read_text("utf-8").partition("\n## Alarms\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = re.findall(r"`([a-z_]+)`", " ".join(first_cells))
    assert sorted(named) == sorted(ALARMS)
