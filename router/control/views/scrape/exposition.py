"""The text formats of the metrics, and the choice between them by the field Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class Format:
    """A text format of metrics. `version` is the parameter of its media type."""

    media_type: str
    version: str
    text_of: Callable[[CollectorRegistry], bytes]

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        return f"{self.media_type}; version={self.version}; charset=utf-8"

    def weight(self, accept: str) -> float:
        """Return the weight that `accept` gives to this format: that of the range which names it most precisely; 0 for none."""
        matches = [
            (precision, weight)
            for media_range, parameters, weight in _ranges(accept)
            if (precision := self._precision(media_range, parameters)) is not None
        ]
        return max(matches, default=(0, 0.0))[1]

    def _precision(self, media_range: str, parameters: dict[str, str]) -> int | None:
        if media_range == self.media_type:
            version = parameters.get("version")
            return None if version not in (None, self.version) else 4 if version else 3
        kind = self.media_type.partition("/")[0]
        return {f"{kind}/*": 2, "*/*": 1}.get(media_range)


PROMETHEUS: Final = Format("text/plain", "0.0.4", lambda registry: generate_latest(registry))
OPENMETRICS: Final = Format(
    "application/openmetrics-text",
    "1.0.0",
    lambda registry: openmetrics.generate_latest(registry),  # type: ignore[no-untyped-call]
)


def negotiated(accept: str) -> Format:
    """Return the format that `accept` prefers; the Prometheus text format if it prefers none, or accepts neither."""
    return OPENMETRICS if OPENMETRICS.weight(accept) > PROMETHEUS.weight(accept) else PROMETHEUS


def _ranges(accept: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield (media range, parameters, weight) in lower case; a range with a malformed weight is left out."""
    for element in accept.lower().split(","):
        media_range, *pairs = (part.strip() for part in element.split(";"))
        parameters = {
            name.strip(): value.strip().strip('"') for name, _, value in (pair.partition("=") for pair in pairs)
        }
        weight = parameters.pop("q", "1")
        if _WEIGHT.fullmatch(weight):
            yield media_range, parameters, float(weight)
