"""The calls to MLflow: resolving model URIs, and sending updates without delaying anything else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from router.control.versions.mlflow_addon import MlflowAddon
from router.control.versions.mlflow_answer import MlflowRefused
from router.control.versions.mlflow_client import Mlflow, ModelVersion
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.model.events import Override, ProposalDecided
from router.rollout.proposals.proposal import ProposalRules
from router.rollout.versions.model_uri import ModelUri
from router.runtime import clock
from router.settings.settings import Settings
from tests.control.control_harness import ControlHarness, settings
from tests.texts import golden
from tests.waiting import until

TAGS = {"rollback_router.endpoints": "http://127.0.0.1:3"}
DOWN = Refusal(RefusalCode.MLFLOW_UNREACHABLE, "MLflow cannot be used now: down")


class FakeMlflow(Mlflow):
    """A registry in memory. `fails` is raised by every call, `hangs` holds every call; `calls` counts them."""

    def __init__(self, *_: object) -> None:
        self.versions: dict[tuple[str, str], ModelVersion] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.written: list[tuple[str, str, str]] = []
        self.fails: Exception | None = None
        self.hangs: asyncio.Event | None = None
        self.calls = 0

    def add(self, number: str, status: str = "READY", name: str = "fraud", **tags: str) -> FakeMlflow:
        uri = ModelUri(name, number)
        told = {**TAGS, **{name.replace("__", "."): value for name, value in tags.items()}}
        self.versions[name, number] = ModelVersion(uri, f"s3://m/{number}", status, told)
        return self

    def tags(self, number: str) -> dict[str, str]:
        kept = self.versions["fraud", number].tags
        return {name: value for name, value in kept.items() if name.startswith("rollback.")}

    async def _called(self) -> None:
        self.calls += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.fails is not None:
            raise self.fails

    async def version(self, uri: ModelUri) -> ModelVersion:
        await self._called()
        number = uri.number or self.aliases.get((uri.name, uri.alias or ""))
        if (found := self.versions.get((uri.name, number or ""))) is None:
            raise MlflowRefused(RefusalCode.MODEL_UNKNOWN, f"MLflow: {uri} not found")
        return found

    async def set_tag(self, uri: ModelUri, key: str, value: str) -> None:
        (await self.version(uri)).tags[key] = value
        self.written.append((uri.number or "", key, value))

    async def set_alias(self, name: str, alias: str, number: str) -> None:
        await self._called()
        self.aliases[name, alias] = number


def told(control: ControlHarness, **mlflow: Any) -> Settings:
    service = {"mlflow": {"model": "fraud", "alias": "champion"}}
    made = settings(control.folder, **service).model_dump()
    return Settings.model_validate({**made, "mlflow": {"tracking_uri": "http://127.0.0.1:1", **mlflow}})


def addon(control: ControlHarness, fake: FakeMlflow, entries: list[Entry] | None = None, **mlflow: Any) -> MlflowAddon:
    found = told(control, **mlflow)
    control.service_controller.reconfigure(found)
    made = MlflowAddon(control.control_loop, found, entries or [], lambda server: fake)
    control.operations.models.register(made.find, made.refuse_promotion)
    control.control_loop.add_addons(made)
    return made


@pytest.fixture
def fake() -> FakeMlflow:
    return FakeMlflow().add("1").add("2")


async def live(control: ControlHarness, text: str, label: str) -> None:
    """`text` was deployed, verified and promoted."""
    answer = await control.operations.deploy(service="svc", version=text, endpoints=[], actor="ann")
    assert answer["version"] == label
    control.probe(label, times=5)
    await control.operations.promote(service="svc", version=label, actor="ann")
    control.tick(3)


async def second(control: ControlHarness, fake: FakeMlflow, **mlflow: Any) -> MlflowAddon:
    """models:/fraud/2 is active, models:/fraud/1 is the standby; the alias points to 2."""
    made = addon(control, fake, **mlflow)
    await live(control, "models:/fraud/1", "fraud-v1")
    fake.aliases["fraud", "champion"] = "2"
    await live(control, "models:/fraud@champion", "fraud-v2")
    return made


async def turn(control: ControlHarness, until: Callable[[], bool] = lambda: True) -> None:
    """Let control tick, and its tasks run, until it is so."""
    async with asyncio.timeout(5):
        while True:
            control.now_ns += 1_000_000_000
            control.control_loop.tick(clock.now_ns(), 0.0)
            await control.until_idle()
            if until():
                return


async def kinds(control: ControlHarness) -> list[str]:
    found = [entry["type"] for entry in (await control.queries.journal(0, 1000))["entries"]]
    return [kind for kind in found if kind.startswith("mlflow")]


def alarms(control: ControlHarness) -> dict[str, str]:
    return {
        alarm["code"]: alarm["detail"] for alarm in control.control_loop.alarms.listing() if "mlflow" in alarm["code"]
    }


async def test_a_rollback_writes_tags_and_moves_the_alias_back(control: ControlHarness, fake: FakeMlflow) -> None:
    registrar = await second(control, fake)
    assert control.service_controller.registry.provenances["fraud-v2"].artifact == "s3://m/2"
    back = await control.operations.rollback(service="svc", reason="wrong scores", actor="ann")
    await turn(control, lambda: registrar.status("svc")["mlflow"]["waiting"] == [])
    tags = fake.tags("2")
    assert (tags.pop("rollback.at")[-1], tags) == ("Z", {
        "rollback.reason": "wrong scores", "rollback.incident": back["incident"], "rollback.quarantined": "true",
    })  # fmt: skip
    assert fake.aliases == {("fraud", "champion"): "1"}
    assert fake.tags("1") == {}
    await turn(control)
    assert await kinds(control) == ["mlflow_told"], "once"


@pytest.mark.parametrize(
    ("uri", "why", "code"),
    [
        ("models:/other/1", "takes versions of the registered model fraud", "model_differs"),
        ("models:/fraud/9", "not found", "model_unknown"),
        ("models:/fraud/3", "its status is PENDING_REGISTRATION", "model_not_ready"),
        ("models:/fraud/4", r"quarantined in MLflow: slow \(incident svc-1-9\)", "version_quarantined"),
        ("models:/fraud/5", r"has no tag rollback_router\.endpoints", "endpoints_needed"),
    ],
)
async def test_what_is_not_deployed(control: ControlHarness, fake: FakeMlflow, uri: str, why: str, code: str) -> None:
    addon(control, fake.add("3", "PENDING_REGISTRATION").add("5", rollback_router__endpoints=""))
    fake.add("4", rollback__reason="slow", rollback__incident="svc-1-9")
    before = control.service_controller.registry.as_dict()
    with pytest.raises(Refusal, match=why) as caught:
        await control.operations.deploy(service="svc", version=uri, endpoints=[], actor="ann")
    assert caught.value.code == code
    assert control.service_controller.registry.as_dict() == before


async def test_an_override_goes_against_a_quarantine_there(control: ControlHarness, fake: FakeMlflow) -> None:
    addon(control, fake.add("4", rollback__quarantined="true"))
    override = Override("ann", "I know")
    answer = await control.operations.deploy(
        service="svc", version="models:/fraud/4", endpoints=[], actor="ann", override=override
    )
    assert (answer["version"], answer["state"]) == ("fraud-v4", "verifying")


async def test_endpoints_that_are_named_or_known_need_no_tag(control: ControlHarness, fake: FakeMlflow) -> None:
    del fake.versions["fraud", "1"].tags["rollback_router.endpoints"]
    addon(control, fake)
    url = "http://127.0.0.1:7"
    for endpoints in ([url], []):
        await control.operations.deploy(service="svc", version="models:/fraud/1", endpoints=endpoints, actor="ann")
        assert control.service_controller.registry.targets["fraud-v1"].endpoints == (url,)


async def test_a_server_that_hangs_holds_up_nobody_but_who_asks_it(control: ControlHarness, fake: FakeMlflow) -> None:
    registrar = await second(control, fake)
    fake.hangs, fake.calls = asyncio.Event(), 0
    back = await control.operations.rollback(service="svc", reason="bad", actor="ann")
    assert (back["active"], back["confirmed"]) == ("fraud-v1", True)
    for _ in range(3):
        began_ns = clock.now_ns()
        control.control_loop.tick(clock.now_ns(), 0.0)
        assert (clock.now_ns() - began_ns) / 1e6 < 50
        await asyncio.sleep(0)
    await until(lambda: fake.calls > 0)
    assert fake.calls == 1, "one call at a time"
    deployed = await control.operations.deploy(
        service="svc", version="v9", endpoints=["http://127.0.0.1:9"], actor="ann"
    )
    assert deployed["state"] == "verifying"
    with pytest.raises(Refusal) as caught:
        await control.operations.deploy(service="svc", version="fraud-v2", endpoints=[], actor="ann")
    assert caught.value.code == "version_quarantined"
    fake.hangs.set()
    await turn(control, lambda: registrar.status("svc")["mlflow"]["waiting"] == [])
    assert fake.tags("2")["rollback.reason"] == "bad"


async def test_what_cannot_be_told_is_tried_again_with_back_off(control: ControlHarness, fake: FakeMlflow) -> None:
    registrar = await second(control, fake, retry_max_s=3.0)
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    fake.fails, fake.calls = DOWN, 0
    control.control_loop.tick(clock.now_ns(), 0.0)
    await control.until_idle()
    assert alarms(control) == {"mlflow_unreachable": golden("mlflow.down")}
    waits = []
    for _ in range(3):
        due_ns = registrar.due_ns
        registrar.on_second(due_ns - 1)
        assert len(control.control_loop.tasks) == 0, "not before its time"
        began_ns = clock.now_ns()
        registrar.on_second(due_ns)
        await control.until_idle()
        waits.append(round((registrar.due_ns - began_ns) / 1e9))
    assert (waits, fake.calls) == ([2, 3, 3], 4)
    (waiting,) = registrar.status("svc")["mlflow"]["waiting"]
    assert (waiting["version"], waiting["model"]) == ("fraud-v2", "models:/fraud/2")
    fake.fails = None
    registrar.on_second(registrar.due_ns)
    await control.until_idle()
    assert (fake.aliases["fraud", "champion"], alarms(control)) == ("1", {})


async def test_a_restart_goes_on_with_what_is_not_told(control: ControlHarness, fake: FakeMlflow) -> None:
    await second(control, fake)
    fake.fails = DOWN
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    await turn(control)
    await control.end()
    later = await ControlHarness(control.settings, control.segment, control.workers, control.folder).begin()
    try:
        entries = await later.journal.entries(0, 1000, None)
        fake.fails = None
        registrar = addon(later, fake, entries)
        assert len(registrar.status("svc")["mlflow"]["waiting"]) == 1
        await turn(later, lambda: registrar.status("svc")["mlflow"]["waiting"] == [])
        assert (fake.tags("2")["rollback.reason"], fake.aliases["fraud", "champion"]) == ("bad", "1")
        entries = await later.journal.entries(0, 1000, None)
        assert addon(later, fake, entries).status("svc")["mlflow"]["waiting"] == [], "and the next one has nothing left"
    finally:
        await later.end()
        await control.begin()


@pytest.mark.parametrize(
    ("fails", "give_up_after_s", "ended"),
    [
        pytest.param(
            MlflowRefused(RefusalCode.MODEL_UNKNOWN, "not found"), 3600.0, True, id="it is not there any more"
        ),
        pytest.param(MlflowRefused(RefusalCode.MLFLOW_DENIED, "who?"), 3600.0, False, id="a new token may help"),
        pytest.param(DOWN, 3600.0, False, id="it may come back"),
        pytest.param(Refusal(RefusalCode.NOT_MLFLOW, "a page"), 3600.0, False, id="a proxy's page"),
        pytest.param(DOWN, 1e-6, True, id="for too long"),
    ],
)
async def test_what_is_given_up_is_journalled(
    control: ControlHarness, fake: FakeMlflow, fails: Exception, give_up_after_s: float, ended: bool
) -> None:
    registrar = await second(control, fake, give_up_after_s=give_up_after_s)
    fake.fails = fails
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    await turn(control)
    assert (registrar.status("svc")["mlflow"]["waiting"] == []) is ended
    assert await kinds(control) == (["mlflow_given_up"] if ended else [])
    assert set(alarms(control)) == {"mlflow_given_up" if ended else "mlflow_unreachable"}


@pytest.mark.parametrize(
    ("alias", "left"), [("7", "7"), ("1", "1"), (None, None)], ids=["moved by somebody", "there already", "none"]
)
async def test_an_alias_that_does_not_point_to_what_failed_stays(
    control: ControlHarness, fake: FakeMlflow, alias: str | None, left: str | None
) -> None:
    registrar = await second(control, fake.add("7"))
    fake.aliases = {("fraud", "champion"): alias} if alias else {}
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    await turn(control, lambda: registrar.status("svc")["mlflow"]["waiting"] == [])
    assert fake.aliases.get(("fraud", "champion")) == left


async def test_an_alias_is_not_moved_to_what_serves_no_longer(control: ControlHarness, fake: FakeMlflow) -> None:
    registrar = await second(control, fake)
    fake.fails = DOWN
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    await control.operations.deploy(service="svc", version="v9", endpoints=["http://127.0.0.1:9"], actor="ann")
    control.probe("v9", times=5)
    await control.operations.promote(service="svc", version="v9", actor="ann")
    fake.fails = None
    await turn(control, lambda: registrar.status("svc")["mlflow"]["waiting"] == [])
    assert fake.aliases["fraud", "champion"] == "2"


async def test_what_was_overtaken_while_others_were_told_is_not_told(control: ControlHarness, fake: FakeMlflow) -> None:
    registrar = await second(control, fake.add("3"))
    await control.operations.deploy(service="svc", version="models:/fraud/3", endpoints=[], actor="ann")
    fake.fails = DOWN
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    await control.operations.quarantine(service="svc", version="fraud-v3", reason="bias", actor="ann")
    await turn(control)
    assert len(registrar.status("svc")["mlflow"]["waiting"]) == 2
    fake.fails, fake.hangs = None, asyncio.Event()
    registrar.on_second(registrar.due_ns)
    await asyncio.sleep(0)
    await control.operations.release(service="svc", version="fraud-v3", reason="fair", actor="ann")
    control.control_loop.tick(clock.now_ns(), 0.0)
    fake.hangs.set()
    await control.until_idle()
    registrar.on_second(clock.now_ns())
    await turn(control, lambda: registrar.status("svc")["mlflow"]["waiting"] == [])
    marks = [(number, value) for number, key, value in fake.written if key == "rollback.quarantined"]
    assert marks == [("2", "true"), ("3", "false")]


async def test_without_a_server_nothing_is_asked_and_what_waits_is_kept(
    control: ControlHarness, fake: FakeMlflow
) -> None:
    registrar = await second(control, fake)
    registrar.reconfigure(settings(control.folder))
    with pytest.raises(Refusal) as caught:
        await control.operations.deploy(service="svc", version="models:/fraud/1", endpoints=[], actor="ann")
    assert caught.value.code == "mlflow_not_configured"
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    fake.calls = 0
    await turn(control)
    assert fake.calls == 0
    assert [told["version"] for told in registrar.status("svc")["mlflow"]["waiting"]] == ["fraud-v2"]
    assert list(registrar.metrics()) == []
    registrar.reconfigure(told(control))
    (family,) = registrar.metrics()
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"service": "svc"}, 1)]
    registrar.on_second(clock.now_ns())
    await turn(control, lambda: registrar.status("svc")["mlflow"]["waiting"] == [])


async def test_a_rollback_that_was_never_stored_is_not_told(control: ControlHarness, fake: FakeMlflow) -> None:
    await second(control, fake)
    generation = control.service_controller.registry.generation + 1
    data = {
        "generation": generation, "base": generation - 1, "from": "fraud-v2", "to": "fraud-v1", "reason": "lost", "incident": "i",
        "states": {"fraud-v1": "active"}, "quarantine": {"fraud-v2": {"reason": "lost", "incident": "i"}}, "automatic": False,
    }  # fmt: skip
    entries = [*await control.journal.entries(), Entry.of("rolled_back", "svc", "ann", data, 1.0, 1, 1, 999)]
    assert addon(control, fake, entries).status("svc")["mlflow"]["waiting"] == []


async def test_a_router_without_mlflow_says_nothing_of_it(control: ControlHarness) -> None:
    assert MlflowAddon(control.control_loop, control.settings, []).status("svc") == {}


async def candidate(control: ControlHarness, fake: FakeMlflow) -> MlflowAddon:
    """models:/fraud/3 is the ready candidate, after models:/fraud/2."""
    made = await second(control, fake.add("3"))
    await control.operations.deploy(service="svc", version="models:/fraud/3", endpoints=[], actor="ann")
    control.probe("fraud-v3", times=5)
    return made


async def promoted(control: ControlHarness, **more: Any) -> str | None:
    """Promote the candidate; return the code of the refusal."""
    try:
        await control.operations.promote(service="svc", version="fraud-v3", actor="ann", **more)
    except Refusal as refusal:
        assert control.states()["fraud-v2"] == "active"
        return refusal.code
    assert control.states()["fraud-v3"] == "active"
    return None


async def test_before_a_promotion_mlflow_is_asked_again(control: ControlHarness, fake: FakeMlflow) -> None:
    await candidate(control, fake)
    fake.versions["fraud", "3"].tags["rollback.reason"] = "biased"
    with pytest.raises(Refusal, match="models:/fraud/3 is quarantined in MLflow: biased") as caught:
        await control.operations.promote(service="svc", version="fraud-v3", actor="ann")
    facts = {"quarantine": {"reason": "biased", "incident": None}, "held_by": "mlflow"}
    assert (caught.value.code, caught.value.facts) == ("version_quarantined", facts)
    assert await promoted(control, dry_run=True) == "version_quarantined"
    fake.versions["fraud", "3"].tags["rollback.quarantined"] = "false"
    assert await promoted(control) is None


@pytest.mark.parametrize(
    ("fails", "code"),
    [
        (DOWN, "mlflow_unreachable"),
        (Refusal(RefusalCode.NOT_MLFLOW, "a page"), "not_mlflow"),
        (MlflowRefused(RefusalCode.MLFLOW_DENIED, "who?"), "mlflow_denied"),
        (MlflowRefused(RefusalCode.MODEL_UNKNOWN, "deleted"), "model_unknown"),
    ],
)
async def test_a_promotion_needs_the_answer_of_mlflow_or_an_override(
    control: ControlHarness, fake: FakeMlflow, fails: Refusal, code: str
) -> None:
    await candidate(control, fake)
    fake.fails, fake.calls = fails, 0
    with pytest.raises(Refusal, match="promote with override") as caught:
        await control.operations.promote(service="svc", version="fraud-v3", actor="ann")
    assert (caught.value.code, caught.value.facts, fake.calls) == (code, {"held_by": "mlflow"}, 1)
    assert await promoted(control, override=Override("ann", "I know")) is None


async def test_what_needs_no_answer_of_mlflow(control: ControlHarness, fake: FakeMlflow) -> None:
    """A label of its own, an active version, a switch and a rollback: in an emergency nothing waits for MLflow."""
    made = await candidate(control, fake)
    fake.fails, fake.calls = DOWN, 0
    await control.operations.promote(service="svc", version="fraud-v2", actor="ann")
    await control.operations.deploy(
        service="svc", version="v9", endpoints=["http://127.0.0.1:9"], actor="ann", replace=True
    )
    control.probe("v9", times=5)
    await control.operations.promote(service="svc", version="v9", actor="ann")
    await control.operations.switch(service="svc", to="fraud-v2", reason="back", actor="ann")
    assert (control.states()["fraud-v2"], fake.calls) == ("active", 0)
    made.reconfigure(settings(control.folder))
    await control.operations.promote(service="svc", version="v9", actor="ann")


async def test_a_release_here_is_newer_than_the_quarantine_there(
    control: ControlHarness, fake: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While MLflow has not received the release, its tag is out of date."""

    async def refused(*_: object) -> None:
        raise DOWN

    made = await candidate(control, fake)
    await control.operations.quarantine(service="svc", version="fraud-v3", reason="bias", actor="ann")
    await turn(control, lambda: made.status("svc")["mlflow"]["waiting"] == [])
    assert fake.tags("3")["rollback.quarantined"] == "true"
    monkeypatch.setattr(fake, "set_tag", refused)
    await control.operations.release(service="svc", version="fraud-v3", reason="fair", actor="ann")
    await turn(control, lambda: made.status("svc")["mlflow"]["waiting"] != [])
    await control.operations.deploy(service="svc", version="fraud-v3", endpoints=[], actor="ann")
    control.probe("fraud-v3", times=5)
    assert await promoted(control) is None


async def test_an_override_at_deploy_lifts_the_quarantine_there(control: ControlHarness, fake: FakeMlflow) -> None:
    made = addon(control, fake.add("3", rollback__quarantined="true"))
    await control.operations.deploy(
        service="svc", version="models:/fraud/3", endpoints=[], actor="ann", override=Override("ann", "I know")
    )
    control.probe("fraud-v3", times=5)
    await turn(control, lambda: made.status("svc")["mlflow"]["waiting"] == [])
    assert fake.tags("3") == {"rollback.quarantined": "false"}
    await control.operations.promote(service="svc", version="fraud-v3", actor="ann")
    assert control.states()["fraud-v3"] == "active"


async def test_a_name_that_is_no_label(control: ControlHarness, fake: FakeMlflow) -> None:
    found = told(control).model_dump()
    found["services"]["svc"]["mlflow"]["model"] = None
    made = addon(
        control, fake.add("3", name="Fraud Model").add("4", name="Fraud Model", rollback_router__version="no label")
    )
    control.service_controller.reconfigure(Settings.model_validate(found))
    answer = await control.operations.deploy(service="svc", version="models:/Fraud Model/3", endpoints=[], actor="ann")
    label = answer["version"]
    assert re.fullmatch(r"Fraud-Model-v3\+[0-9a-f]{10}", label)
    assert answer["source"] == "models:/Fraud Model/3"
    assert answer["message"].startswith(f"{label} (models:/Fraud Model/3) is verifying")
    await control.operations.quarantine(service="svc", version=label, reason="bias", actor="ann")
    await turn(control, lambda: made.status("svc")["mlflow"]["waiting"] == [])
    assert fake.versions["Fraud Model", "3"].tags["rollback.reason"] == "bias"
    for uri, code, why in (
        ("models:/Fraud%20Model/3", "model_unknown", "a name is written as it is: models:/Fraud Model/"),
        ("models:/Fraud Model/4", "version_invalid", r"the tag rollback_router\.version of models:/Fraud Model/4"),
    ):
        with pytest.raises(Refusal, match=why) as caught:
            await control.operations.deploy(service="svc", version=uri, endpoints=[], actor="ann")
        assert caught.value.code == code


async def test_an_approval_asks_mlflow_and_a_denial_does_not(control: ControlHarness, fake: FakeMlflow) -> None:
    await candidate(control, fake)
    machine = control.service_controller.machine
    machine.limits = replace(machine.limits, proposals=ProposalRules(promote_needs_approval=True))
    proposed = await control.operations.promote(service="svc", version="fraud-v3", actor="ann")
    fake.versions["fraud", "3"].tags["rollback.reason"] = "biased"
    approval = ProposalDecided(proposed["awaits"], "approve", "bob")
    with pytest.raises(Refusal, match="quarantined in MLflow: biased") as caught:
        await control.operations.change("svc", approval)
    assert caught.value.code == "version_quarantined"
    fake.calls = 0
    await control.operations.change("svc", ProposalDecided(proposed["awaits"], "deny", "bob"))
    assert (control.states()["fraud-v2"], fake.calls) == ("active", 0)
