"""A real router beside a real MLflow: a registered model is deployed, and a rollback is recorded in MLflow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.mlflow_server import MlflowServer, running
from tests.end_to_end.real_router import RefusedError, Router, children, service_settings, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(240)]


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[MlflowServer]:
    """It takes six seconds to start on an idle machine."""
    with running(tmp_path) as server:
        server.call("POST", "registered-models/create", {"name": "fraud"})
        yield server


async def refused(router: Router, version: str) -> tuple[int, str | None]:
    with pytest.raises(RefusedError) as caught:
        await router.verb("deploy", version=version)
    return caught.value.status, caught.value.code


async def deployed(router: Router, uri: str) -> str:
    """Deploy and promote a registered model; return its label here."""
    label = str((await router.verb("deploy", version=uri))["version"])
    await router.wait_ready(label)
    await router.verb("promote", version=label, reason=f"{uri} is the next one")
    return label


async def pending_updates(router: Router) -> int:
    return len((await router.service())["mlflow"]["waiting"])


async def test_a_rollback_is_known_there_although_it_hung_and_control_was_killed_meanwhile(
    mlflow: MlflowServer, start_router: StartRouter
) -> None:
    async with Backend(backends.ok(b"0")) as seed, Backend(backends.ok(b"1")) as one, Backend(backends.ok(b"2")) as two:
        first, second = mlflow.add("fraud", one.url), mlflow.add("fraud", two.url)
        settings = f'[mlflow]\ntracking_uri = "{mlflow.url}"\nretry_max_s = 1.0\ntimeout_s = 2.0\n'
        settings += service_settings(seed.url, None)
        settings += '\n[services.default.mlflow]\nmodel = "fraud"\nalias = "champion"\n'
        router = await start_router(settings)
        tag = {"name": "fraud", "version": first, "key": "rollback.quarantined"}
        mlflow.call("POST", "model-versions/set-tag", {**tag, "value": "true"})
        assert await refused(router, f"models:/fraud/{first}") == (409, "version_quarantined")
        assert await refused(router, "models:/fraud/999") == (404, "model_unknown")
        assert await refused(router, "models:/fraud@champion") == (404, "model_unknown")
        mlflow.call("POST", "model-versions/set-tag", {**tag, "value": "false"})
        assert await deployed(router, f"models:/fraud/{first}") == f"fraud-v{first}"
        mlflow.call("POST", "registered-models/alias", {"name": "fraud", "alias": "champion", "version": second})
        failed = await deployed(router, "models:/fraud@champion")
        assert failed == f"fraud-v{second}"

        mlflow.hang()
        began_s = time.monotonic()
        back = await router.verb("rollback", reason="wrong scores")
        assert (back["active"], back["confirmed"], time.monotonic() - began_s < 2.0) == (f"fraud-v{first}", True, True)
        assert await refused(router, failed) == (409, "version_quarantined")
        began_s = time.monotonic()
        assert await refused(router, "models:/fraud@champion") == (503, "mlflow_unreachable")
        assert time.monotonic() - began_s < 5.0

        async def alarmed() -> bool:
            return "mlflow_unreachable" in {alarm["code"] for alarm in (await router.status())["alarms"]}

        await until(alarmed, 5, "the alarm is up")
        control = (await router.status())["control"]["pid"]
        assert control in children(router.pid)
        await router.kill([control])
        await until(router.ready, 15, "control is back")
        assert await pending_updates(router) == 1

        mlflow.go_on()

        async def updated() -> bool:
            return await pending_updates(router) == 0

        await until(updated, 10, "MLflow was updated")
        tags = await asyncio.to_thread(mlflow.tags, "fraud", second)
        assert {name: tags[name] for name in tags if name.startswith("rollback.")} == {
            "rollback.reason": "wrong scores",
            "rollback.incident": back["incident"],
            "rollback.quarantined": "true",
            "rollback.at": (await router.call("GET", f"/v1/incidents/{back['incident']}"))["detection_at"],
        }
        assert await asyncio.to_thread(mlflow.alias, "fraud", "champion") == first
        assert not await alarmed()
        known = await router.call("GET", f"/v1/versions/{failed}")
        assert (known["source"], known["artifact"]) == (f"models:/fraud/{second}", "s3://models/fraud")


async def test_names_that_are_no_labels_and_a_quarantine_between_deploy_and_promote(
    mlflow: MlflowServer, start_router: StartRouter
) -> None:
    names = ["Fraud Model", "50%off #1?", "Größe 🚀", "a@b", " x ", "y" * 255]
    async with Backend(backends.ok(b"0")) as seed, Backend(backends.ok(b"1")) as one:
        router = await start_router(f'[mlflow]\ntracking_uri = "{mlflow.url}"\n' + service_settings(seed.url, None))
        labels = set()
        for name in names:
            mlflow.call("POST", "registered-models/create", {"name": name})
            number = mlflow.add(name, one.url)
            uri = f"models:/{name}/{number}"
            found = await router.verb("deploy", version=uri, replace=True)
            assert found["source"] == uri
            labels.add(found["version"])
        assert len(labels) == len(names)

        label = found["version"]
        await router.wait_ready(label)
        tag = {"name": names[-1], "version": number, "key": "rollback.quarantined"}
        mlflow.call("POST", "model-versions/set-tag", {**tag, "value": "true"})
        with pytest.raises(RefusedError) as caught:
            await router.verb("promote", version=label, reason="the next one")
        assert (caught.value.status, caught.value.code) == (409, "version_quarantined")
        mlflow.call("POST", "model-versions/set-tag", {**tag, "value": "false"})
        await router.verb("promote", version=label, reason="the next one")
        assert await refused(router, "models:/Fraud%20Model/1") == (404, "model_unknown")
        assert await refused(router, "models:/unknown/latest") == (404, "model_unknown")
