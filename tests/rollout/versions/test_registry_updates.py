from __future__ import annotations

from typing import Any

import pytest

from router.rollout.facts.entry import Entry
from router.rollout.model.events import (
    Event,
    Origin,
    QuarantineAsked,
    RegisterAsked,
    ReleaseAsked,
    RollbackAsked,
    Ticked,
)
from router.rollout.versions.model_uri import ModelUri
from router.rollout.versions.registry_updates import (
    PENDING_UPDATES_MAX,
    REASON_CHARS_MAX,
    PendingUpdate,
    PendingUpdates,
)
from tests.rollout.playbook import Playbook

FRAUD_1, FRAUD_2 = Origin(None, "models:/fraud/1"), Origin(None, "models:/fraud/2")


def playbook(active: Origin = FRAUD_2, standby: Origin = FRAUD_1) -> Playbook:
    """v2 is active, v1 is the standby; both may come from MLflow."""
    made = Playbook().seed("v2", "v1")
    made.tell(RegisterAsked("v2", (), "ann", active))
    made.tell(RegisterAsked("v1", (), "ann", standby))
    return made


def folded(played: Playbook, open_max: int = PENDING_UPDATES_MAX) -> PendingUpdates:
    updates = PendingUpdates(open_max)
    for entry in played.entries:
        updates.apply(entry, played.registry.provenances)
    return updates


def only(played: Playbook) -> PendingUpdate:
    (update,) = folded(played).open.values()
    return update


def test_a_rollback_updates_tags_and_moves_the_alias() -> None:
    played = playbook()
    played.tell(RollbackAsked("wrong scores", "ann"), after_s=5)
    update = only(played)
    assert (update.model, update.serves, update.version, update.at) == (ModelUri("fraud", "2"), "1", "v2", 15.0)
    assert dict(update.tags) == {
        "rollback.reason": "wrong scores",
        "rollback.incident": played.registry.incidents[0]["id"],
        "rollback.quarantined": "true",
    }


def test_an_unreachable_version_is_tagged_and_not_quarantined() -> None:
    played = playbook()
    played.probe("v1", times=3)
    played.verdict(away=True)
    assert dict(only(played).tags)["rollback.quarantined"] == "false"
    assert only(played).serves == "1"


@pytest.mark.parametrize(
    ("active", "standby", "serves"),
    [
        pytest.param(Origin(), FRAUD_1, None, id="what failed is not from there"),
        pytest.param(FRAUD_2, Origin(), "none", id="what serves is not from there"),
        pytest.param(FRAUD_2, Origin(None, "models:/other/1"), "none", id="another model"),
    ],
)
def test_what_does_not_come_from_there(active: Origin, standby: Origin, serves: str | None) -> None:
    played = playbook(active, standby)
    played.tell(RollbackAsked("bad", "ann"))
    found = folded(played).open.values()
    assert [update.serves for update in found] == ([] if serves is None else [None])


@pytest.mark.parametrize("of_an_older_release", [False, True])
@pytest.mark.parametrize("kind", ["mlflow_told", "mlflow_given_up"])
def test_it_ends_with_a_fact_of_its_own_and_no_other(kind: str, of_an_older_release: bool) -> None:
    played = playbook()
    played.tell(RollbackAsked("bad", "ann"))
    update = only(played)
    updates = folded(played)
    updates.apply(fact(kind, version="v2", token="another"), {})
    assert len(updates.open) == 1
    token = update.stamp if of_an_older_release else update.token
    updates.apply(fact(kind, version="v2", token=token), {})
    assert updates.open == {}
    updates.apply(fact(kind, version="v2", token=token), {})


@pytest.mark.parametrize(
    ("events", "tags"),
    [
        pytest.param([QuarantineAsked("v1", "ann", "bias")],
                     {"rollback.reason": "bias", "rollback.incident": "", "rollback.quarantined": "true"}, id="by hand"),
        pytest.param([QuarantineAsked("v1", "ann", "bias"), ReleaseAsked("v1", "ann", "fine")],
                     {"rollback.reason": "bias", "rollback.incident": "", "rollback.quarantined": "false"}, id="released"),
    ],
)  # fmt: skip
def test_quarantines_update_tags_without_an_alias(events: list[Event], tags: dict[str, str]) -> None:
    played = playbook()
    for event in events:
        played.tell(event)
    assert (dict(only(played).tags), only(played).serves) == (tags, None)


def test_a_returned_quarantine_has_its_own_time() -> None:
    played = playbook()
    played.tell(QuarantineAsked("v1", "ann", "bias"), after_s=5)
    played.tell(ReleaseAsked("v1", "ann", "look", 60.0), after_s=5)
    assert dict(only(played).tags)["rollback.quarantined"] == "false"
    played.tell(Ticked(), after_s=61)
    assert (dict(only(played).tags)["rollback.quarantined"], only(played).at) == ("true", 15.0)


def test_a_release_before_the_update_still_moves_the_alias() -> None:
    played = playbook()
    played.tell(RollbackAsked("bad", "ann"))
    played.tell(ReleaseAsked("v2", "ann", "fine"), after_s=1)
    assert (dict(only(played).tags)["rollback.quarantined"], only(played).serves) == ("false", "1")


def test_a_rollback_that_was_recovered_from_shared_memory_moves_the_alias_too() -> None:
    played = playbook()
    data = {"quarantine": {"v2": {"reason": "lost", "incident": None}}, "states": {"v1": "active", "v2": "draining"}}
    updates = PendingUpdates()
    updates.apply(fact("recovered", **data), played.registry.provenances)
    assert [(update.serves, update.at) for update in updates.open.values()] == [("1", 1.0)]


def test_a_reason_is_bounded_and_so_is_their_number() -> None:
    played = playbook()
    played.tell(QuarantineAsked("v1", "ann", "b" * 5000))
    assert len(dict(only(played).tags)["rollback.reason"]) == REASON_CHARS_MAX
    updates = folded(played, open_max=1)
    updates.apply(
        fact("quarantined", quarantine={"v2": {"reason": "x", "incident": None}}), played.registry.provenances
    )
    assert [version for _, version in updates.open] == ["v2"]


def fact(kind: str, **data: Any) -> Entry:
    return Entry.of(kind, "svc", "ann", data, 1.0, 7, 1)
