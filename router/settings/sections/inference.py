"""Which requests run the model, and when an answer says only that the version is busy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from router.rollout.work_paths import InferenceRules, check_pattern, path_template
from router.settings.sections.values import Strict

Pattern = Annotated[str, Field(min_length=1, max_length=300)]


class InferenceSettings(Strict):
    """Which requests count as work of the model. Unset: every method but GET, HEAD and OPTIONS, without the paths of common
    model servers that need no engine (tokenize, health, model repository, adapters …; `config show` lists them)."""

    paths: Annotated[list[Pattern], Field(max_length=100)] = []
    """Patterns of paths that run the model, with any method. `*` is one segment, `/**` at the end is the rest. With a
    leading slash a pattern begins where the path begins."""
    not_paths: Annotated[list[Pattern], Field(max_length=100)] = []
    """Patterns of paths that do not run the model. They win."""
    stream_preamble: Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=32)] = []
    """Data of events that a stream sends before its first content, compared exactly: such an event is no useful answer."""

    @field_validator("paths", "not_paths")
    @classmethod
    def _patterns(cls, value: list[str]) -> list[str]:
        return [check_pattern(pattern) for pattern in value]

    @model_validator(mode="after")
    def _useful(self) -> InferenceSettings:
        for pattern in self.paths:
            if pattern in self.not_paths:
                raise ValueError(f"{pattern!r} is in paths and in not_paths, which win: remove one of them")
        return self

    @property
    def rules(self) -> InferenceRules:
        """The rules as the work buckets apply them."""
        return InferenceRules(self.paths, self.not_paths)

    def useless(self, path_prefix: str) -> list[str]:
        """Return the patterns that can match no request of a service with this path prefix, with the remedy."""
        prefix = [part for part in path_template(path_prefix).split("/") if part]
        return [
            f"{name} {pattern!r} matches nothing: requests of the service begin with {path_prefix}"
            for name, patterns in (("paths", self.paths), ("not_paths", self.not_paths))
            for pattern in patterns
            if pattern.startswith("/") and not _may_match(pattern, prefix)
        ]


def _may_match(pattern: str, prefix: list[str]) -> bool:
    segments = [part for part in path_template(pattern).split("/") if part]
    if segments[-1:] == ["**"]:
        segments = segments[:-1]
    elif len(segments) < len(prefix):
        return False
    return all("*" in (one, other) or one == other for one, other in zip(segments, prefix, strict=False))
