"""The calls of MLflow's model registry that the router uses (REST API 2.0, the same in MLflow 1 to 3), without MLflow's library.

Logged models (`models:/m-…`) need MLflow 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from router.control.versions.mlflow_answer import MlflowRefused
from router.control.versions.mlflow_http import MlflowHttp
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.versions.model_uri import LATEST, ModelUri, registered_name
from router.settings.sections.mlflow import MlflowSettings

_LOGGED_STATES: Final = {"LOGGED_MODEL_READY": "READY"}


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model, or a logged model. `source` is the URI of its files, `status` is READY unless its
    upload failed.
    """

    uri: ModelUri
    source: str | None
    status: str
    tags: dict[str, str]


class Mlflow:
    """One tracking server. Errors are Refusals: `mlflow_unreachable`, `not_mlflow`, else MlflowRefused."""

    def __init__(self, server: MlflowSettings) -> None:
        self._server = server
        self._http = MlflowHttp(server)

    async def version(self, uri: ModelUri) -> ModelVersion:
        """Return the version that `uri` names by number, alias or stage, or the logged model."""
        if uri.model_id is not None:
            return self._logged(await self._http.call("GET", f"logged-models/{quote(uri.model_id, safe='')}"))
        if uri.stage is not None:
            return await self._newest(uri)
        if uri.number is not None:
            query = {"name": uri.name, "version": uri.number}
            return self._registered(await self._http.call("GET", "model-versions/get", query))
        query = {"name": uri.name, "alias": uri.alias or ""}
        return self._registered(await self._http.call("GET", "registered-models/alias", query))

    async def aliased(self, name: str, alias: str) -> str | None:
        """Return the number that the alias points to; None if there is no such alias."""
        try:
            return (await self.version(ModelUri(name, alias=alias))).uri.number
        except MlflowRefused as refusal:
            if refusal.final:
                return None
            raise

    async def set_tag(self, uri: ModelUri, key: str, value: str) -> None:
        """Set one tag of a version. The call is idempotent."""
        if uri.model_id is not None:
            path, tags = f"logged-models/{quote(uri.model_id, safe='')}/tags", [{"key": key, "value": value}]
            await self._http.call("PATCH", path, body={"tags": tags})
            return
        body = {"name": uri.name, "version": uri.number, "key": key, "value": value}
        await self._http.call("POST", "model-versions/set-tag", body=body)

    async def set_alias(self, name: str, alias: str, number: str) -> None:
        """Point the alias to another version."""
        await self._http.call("POST", "registered-models/alias", body={"name": name, "alias": alias, "version": number})

    async def _newest(self, uri: ModelUri) -> ModelVersion:
        """Return the newest version of a stage; of LATEST that of all stages, as MLflow's own client resolves it."""
        stages = {} if uri.stage == LATEST else {"stages": [uri.stage]}
        document = await self._http.call(
            "POST", "registered-models/get-latest-versions", body={"name": uri.name, **stages}
        )
        listed = document.get("model_versions", [])
        found = [self._registered({"model_version": item}) for item in (listed if isinstance(listed, list) else [None])]
        if not found:
            raise MlflowRefused(RefusalCode.MODEL_UNKNOWN, f"MLflow at {self._server.tracking_uri} has no {uri}")
        return max(found, key=lambda version: int(version.uri.number or 0))

    def _registered(self, document: dict[str, Any]) -> ModelVersion:
        try:
            model = document["model_version"]
            found = ModelUri(registered_name(str(model["name"])), str(int(model["version"])))
            status = str(model.get("status") or "READY")
            return ModelVersion(found, str(model.get("source") or "") or None, status, _tags(model))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._no_model() from None

    def _logged(self, document: dict[str, Any]) -> ModelVersion:
        try:
            model = document["model"]["info"]
            found, status = ModelUri("", model_id=str(model["model_id"])), str(model.get("status") or "READY")
            source = str(model.get("artifact_uri") or "") or None
            return ModelVersion(found, source, _LOGGED_STATES.get(status, status), _tags(model))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._no_model() from None

    def _no_model(self) -> Refusal:
        detail = f"the answer of {self._server.tracking_uri} is JSON, but no model version of MLflow"
        return Refusal(RefusalCode.NOT_MLFLOW, f"{detail}; check mlflow.tracking_uri")


def _tags(model: dict[str, Any]) -> dict[str, str]:
    return {str(tag["key"]): str(tag.get("value") or "") for tag in model.get("tags") or ()}
