"""What is known of versions, as the admin shows it; the documents are those of catalogue.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from router.control.versions.addon import VersionsAddon
from router.control.views import catalogue
from router.errors import Refusal
from router.rollout.model.events import Origin, Override, RegisterAsked, Ticked
from tests.control.control_harness import ControlHarness
from tests.rollout.playbook import Playbook

URL = ["http://127.0.0.1:3"]


async def deployed(control: ControlHarness, version: str = "v3") -> None:
    """`version` was deployed and promoted."""
    await control.operations.deploy(
        service="svc", version=version, endpoints=URL, actor="ann", artifact=f"s3://m/{version}"
    )
    control.probe(version, times=5)
    await control.operations.promote(service="svc", version=version, actor="ann", reason="better")


async def test_a_version_from_its_registration_to_its_rollback(control: ControlHarness) -> None:
    addon = VersionsAddon(control.control_loop)
    document = await control.operations.register(
        service="svc", version="v3", endpoints=URL, actor="ann", artifact="s3://m/v3"
    )
    assert (document["changed"], document["message"]) == (True, "v3 is registered")
    assert (await addon.version("v3", None))["state"] == "registered"
    again = await control.operations.register(service="svc", version="v3", endpoints=[], actor="ann")
    assert (again["changed"], again["message"]) == (False, "v3 is registered already")
    await deployed(control)
    rolled_back = await control.operations.rollback(service="svc", reason="wrong scores", actor="bob")

    version = await addon.version("v3", "svc")
    assert (version["registered"]["by"], version["artifact"], version["source"]) == ("ann", "s3://m/v3", None)
    assert [line["event"] for line in version["history"]] == [
        "version_registered", "version_deployed", "version_verified", "promoted", "rolled_back",
    ]  # fmt: skip
    (live,) = version["live"]
    assert (live["begun"]["actor"], live["ended"]["actor"], live["to"]) == ("ann", "bob", "v1")
    assert version["rolled_back"]["incident"] == live["ended"]["incident"] == rolled_back["incident"]
    assert version["incidents"] == [rolled_back["incident"]]
    listed = {
        document["version"]: document
        for document in catalogue.versions([catalogue.snapshot(control.service_controller.executor)])
    }
    assert listed["v3"]["last_live"] == {"since": live["since"], "until": live["until"]}
    assert listed["v2"]["last_live"] is None
    assert [(document["version"], document["until"] is None) for document in (await addon.live("svc"))["live"]] == [
        ("v1", False), ("v3", False), ("v1", True),
    ]  # fmt: skip


async def test_of_a_long_past_the_newest_is_shown(control: ControlHarness) -> None:
    for version in ("v2", "v1", "v2"):
        await control.operations.switch(service="svc", to=version, actor="ann")
    document = await VersionsAddon(control.control_loop).live("svc", 2)
    assert ([period["version"] for period in document["live"]], document["earlier"], document["dropped"]) == (
        ["v1", "v2"],
        2,
        0,
    )


async def test_a_dry_run_registers_nothing(control: ControlHarness) -> None:
    document = await control.operations.register(service="svc", version="v3", endpoints=URL, actor="ann", dry_run=True)
    assert document["message"] == "v3 would be registered"
    assert "v3" not in control.service_controller.registry.targets


async def test_what_may_be_deleted(control: ControlHarness) -> None:
    addon = VersionsAddon(control.control_loop)
    await deployed(control, "v3")
    control.tick(2)
    await deployed(control, "v4")
    control.tick(2)
    document = addon.retention("svc")
    assert document["keep_accepted"] == 3
    assert {kept["version"]: kept["because"] for kept in document["kept"]} == {"v4": ["active"], "v3": ["standby"]}
    assert [free["version"] for free in document["deletable"]] == ["v1", "v2"]
    assert document["artifacts_deletable"] == []
    incident = (await control.operations.rollback(service="svc", reason="bad", actor="bob"))["incident"]
    control.tick(2)
    assert addon.retention("svc")["artifacts_deletable"] == []
    understood = VersionsAddon(control.control_loop, lambda: [incident]).retention("svc")
    assert understood["artifacts_deletable"] == ["s3://m/v4"]


async def test_an_artifact_that_another_service_needs_stays(control: ControlHarness) -> None:
    addon = VersionsAddon(control.control_loop)
    await deployed(control, "v3")
    control.tick(2)
    incident = (await control.operations.rollback(service="svc", reason="bad", actor="bob"))["incident"]
    control.tick(2)
    addon = VersionsAddon(control.control_loop, lambda: [incident])
    assert addon.retention("svc")["artifacts_deletable"] == ["s3://m/v3"]
    other = Playbook().seed("v1", None)
    other.tell(RegisterAsked("v1", (), "ann", Origin("s3://m/v3")))
    control.control_loop.services["other"] = SimpleNamespace(
        registry=other.registry, service=control.service_controller.service
    )  # type: ignore[assignment]
    assert addon.retention("svc")["artifacts_deletable"] == []


@pytest.mark.parametrize(
    ("version", "service", "code"),
    [("v9", None, "version_unknown"), ("v9", "svc", "version_unknown"), ("v1", "no", "service_unknown")],
)
async def test_what_is_not_known(control: ControlHarness, version: str, service: str | None, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        await VersionsAddon(control.control_loop).version(version, service)
    assert caught.value.code == code


async def test_a_version_of_several_services_has_to_be_named_with_one(control: ControlHarness) -> None:
    control.control_loop.services["other"] = control.service_controller
    with pytest.raises(Refusal) as caught:
        await VersionsAddon(control.control_loop).version("v1", None)
    assert caught.value.code == "service_needed"


async def test_a_quarantine_that_comes_back_under_an_active_version_is_alarmed(control: ControlHarness) -> None:
    addon = VersionsAddon(control.control_loop)
    await control.operations.quarantine(service="svc", version="v2", reason="bias", actor="ann")
    control.tick()
    sure = Override("ann", "I know", 60.0)
    await control.operations.deploy(service="svc", version="v2", endpoints=[], actor="ann", override=sure)
    control.probe("v2", times=5)
    shown = await addon.version("v2", None)
    assert (shown["quarantine"], shown["lifted"]["actor"], shown["lifted"]["reason"]) == (None, "ann", "I know")
    await control.operations.promote(service="svc", version="v2", actor="ann")
    addon.on_second(control.now_ns)
    assert control.control_loop.alarms.listing() == []
    control.service_controller.handle(Ticked(), control.service_controller.registry.temporary_releases["v2"].until_ns)
    addon.on_second(control.now_ns)
    assert [alarm["code"] for alarm in control.control_loop.alarms.listing()] == ["quarantined_version_active"]
    await control.operations.release(service="svc", version="v2", reason="fixed", actor="ann")
    addon.on_second(control.now_ns)
    assert control.control_loop.alarms.listing() == []
