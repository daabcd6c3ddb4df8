"""Resolves the version of a deploy or registration: a label with endpoints, or a URI of a model registry (`models:/…`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from router.errors import Refusal
from router.errors.codes import RefusalCode
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
PromotionCheck = Callable[[str, str], Awaitable[None]]
"""(service, version): raise Refusal if the registry of the version's model has it quarantined, or cannot be asked."""


class ModelResolver:
    """Labels are resolved without a registry; for a URI the registered finder is called."""

    def __init__(self) -> None:
        self._finder: Finder = _no_registry
        self._refuse_promotion: PromotionCheck = _promotable

    def register(self, finder: Finder, refuse_promotion: PromotionCheck | None = None) -> None:
        """Resolve the URIs of a model registry by `finder`, and ask it by `refuse_promotion` before a promotion."""
        self._finder = finder
        self._refuse_promotion = refuse_promotion or _promotable

    async def refuse_promotion(self, service: str, version: str) -> None:
        """Raise Refusal if the registry of the version's model forbids the promotion. A plain label is not looked up."""
        await self._refuse_promotion(service, version)

    async def named(
        self, service: str, version: str, endpoints: list[str], artifact: str | None, override: Override | None = None
    ) -> Model:
        """Return the model; raise Refusal if it cannot be resolved. A label needs no registry and no wait.

        Endpoints and artifact of the call take precedence over those of the registry.
        """
        origin = Origin(artifact)
        if model_uri.is_uri(version):
            uri = model_uri.parse(version)
            version, endpoints, origin = await self._finder(service, uri, endpoints, override)
            origin = Origin(artifact or origin.artifact, origin.source)
        return Model(_label(version), _urls(endpoints), origin)


async def _no_registry(
    service: str, uri: ModelUri, endpoints: list[str], override: Override | None
) -> tuple[str, list[str], Origin]:
    raise not_configured(uri)


async def _promotable(service: str, version: str) -> None:
    """Do nothing: there is no registry."""


def not_configured(uri: ModelUri) -> Refusal:
    """Return the refusal of a URI while no model registry is configured."""
    detail = f"{uri}: no model registry is configured; set mlflow.tracking_uri, or name label and endpoints"
    return Refusal(RefusalCode.MLFLOW_NOT_CONFIGURED, detail)


def _label(version: str) -> str:
    try:
        return version_label(version)
    except ValueError as error:
        raise Refusal(RefusalCode.VERSION_INVALID, str(error)) from None


def _urls(endpoints: list[str]) -> tuple[str, ...]:
    return tuple(endpoint.url for endpoint in parse_endpoints(endpoints)) if endpoints else ()
