"""What is to be deployed or registered: a label with its endpoints, or what a model registry outside has under a URI."""

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
    """`endpoints` are canonical URLs; none: those that are known of the version."""

    version: str
    endpoints: tuple[str, ...]
    origin: Origin


Finder = Callable[[str, ModelUri, list[str], Override | None], Awaitable[tuple[str, list[str], Origin]]]
"""(service, URI, endpoints if they are named here, override) → (label, endpoints, origin)."""


class ModelResolver:
    """`finder` is set by the office that knows a registry; without one only labels are understood."""

    def __init__(self) -> None:
        self.finder: Finder | None = None

    async def named(
        self, service: str, version: str, endpoints: list[str], artifact: str | None, override: Override | None = None
    ) -> Model:
        """Return what is meant; raise OperatorError if it cannot be. A plain label is never waited for. What is named here
        goes before what the registry has.
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
