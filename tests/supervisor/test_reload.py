from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import StartError
from router.settings.loader import load
from router.settings.sections.address import Address
from router.settings.settings import Settings
from router.supervisor.reload import effective_address, merged

SERVICES = {"a": {"path_prefix": "/a"}, "b": {}}


def settings(**given: object) -> Settings:
    return load(None, {"state_dir": "/state", "workers": 2, **given})


def test_what_cannot_change_stays_and_is_named() -> None:
    old = settings(services=SERVICES)
    new = settings(
        workers=3,
        listen_mode="0600",
        access_log=True,
        services={"a": {"path_prefix": "/a", "replay": "always"}, "c": {}},
    )
    result, needs_restart = merged(old, new)
    assert needs_restart == ["listen_mode", "workers"]
    assert (result.workers, result.listen_mode, result.access_log) == (2, "0660", True)
    assert {name: service.replay for name, service in result.services.items()} == {"a": "always", "c": "unsent"}
    assert merged(old, settings(services=SERVICES)) == (old, [])
    changed = settings(services=SERVICES, admin={"tls": {"minimum_version": "TLSv1.3"}, "connections_max": 9})
    result, needs_restart = merged(old, changed)
    assert (needs_restart, result.admin.tls, result.admin.connections_max) == (["admin.tls"], old.admin.tls, 9)
    assert merged(old, settings(state_dir=None, services=SERVICES))[0].state_dir == Path("/state")


def test_a_file_without_services_is_refused() -> None:
    with pytest.raises(StartError) as caught:
        merged(settings(services=SERVICES), settings(services={}))
    assert (caught.value.code, caught.value.detail.partition(":")[0]) == ("settings_invalid", "services")


@pytest.mark.parametrize(
    ("configured", "bound", "same"),
    [
        ("127.0.0.1:0", "127.0.0.1:4711", True),
        ("localhost:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("127.0.0.1:0", "unix:/b", False),
    ],
)
def test_an_address_that_was_left_to_the_system_is_the_bound_one(configured: str, bound: str, same: bool) -> None:
    there = Address.model_validate(bound)
    assert (effective_address(Address.model_validate(configured), there) == there) is same
