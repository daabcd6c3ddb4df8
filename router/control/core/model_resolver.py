"""Resolves the version of a deploy or registration: a label with endpoints, or a URI of a model registry (`models:/…`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from router.errors import OperatorError
from router.rollout.model.endpoint import parse_endpoints
from router.rollout.model.events import Origin, Override
from router.rollout.versions import model_uri
from router.rollout.versions.model_uri import ModelUri
from router.settings.sections.values import version_label


@dataclass(frozen=True, slots=True)
class Model:
    """`endpoints` are canonical URLs; empty: the known endpoints of the version."""

    version: str
    endpoints: tuple[str, ...]
    origin: Origin


Finder = Callable[[str, ModelUri, list[str], Override | None], Awaitable[tuple[str, list[str], Origin]]]
"""(service, URI, endpoints of the call, override) → (label, endpoints, origin)."""


class ModelResolver:
    """`finder` is set by the add-on of a model registry; without it only labels are resolved."""

    def __init__(self) -> None:
        self.finder: Finder | None = None

    async def named(
        self, service: str, version: str, endpoints: list[str], artifact: str | None, override: Override | None = None
    ) -> Model:
        """Return the model; raise OperatorError if it cannot be resolved. A label needs no registry and no wait.

        Endpoints and artifact of the call take precedence over those of the registry.
        """
        origin = Origin(artifact)
        if version.startswith(model_uri.SCHEME):
            uri = model_uri.parse(version)
            if self.finder is None:
                detail = (
                    f"{version}: no model registry is configured; set mlflow.tracking_uri, or name label and endpoints"
                )
                raise OperatorError(409, "mlflow_not_configured", detail, exit_code=9)
            version, endpoints, origin = await self.finder(service, uri, endpoints, override)
            origin = Origin(artifact or origin.artifact, origin.source)
        return Model(_label(version), _urls(endpoints), origin)


def _label(version: str) -> str:
    try:
        return version_label(version)
    except ValueError as error:
        raise OperatorError(400, "version_invalid", str(error), exit_code=2) from None


def _urls(endpoints: list[str]) -> tuple[str, ...]:
    return tuple(endpoint.url for endpoint in parse_endpoints(endpoints)) if endpoints else ()
