"""A JSON Schema that documents are held against, by jsonschema-rs (the extra `schema`).

Nothing is fetched: a `$ref` to somewhere else is an error of the settings. Patterns are matched by an engine whose time is linear
in the text, because the text is a client's. Only the first thing that is wrong is looked for: to list all of them takes 2.4 s
for a body of 1 MB in which 200,000 are, to find the first one 13 ms.
"""

from __future__ import annotations

from typing import Any, Final

from router.printable import printable
from router.rollout import pointer

MESSAGE_CHARS_MAX: Final = 200
_MASK: Final = "the value"


class Schema:
    """One schema, compiled (about 1 ms)."""

    def __init__(self, text: str) -> None:
        """Take the schema as JSON; raise ValueError that says what is wrong with it, or what is not installed."""
        try:
            import jsonschema_rs
        except ImportError:
            raise ValueError('a JSON Schema needs the extra "schema": pip install "rollback-router[schema]"') from None
        try:
            patterns = jsonschema_rs.RegexOptions()
            jsonschema_rs.validator_for(
                text, offline=True, pattern_options=patterns
            )  # unmasked: the schema is no secret
            self._validator = jsonschema_rs.validator_for(text, mask=_MASK, offline=True, pattern_options=patterns)
        except jsonschema_rs.ValidationError as error:
            place = pointer.spell(error.instance_path)
            raise ValueError(f"is no usable JSON Schema: {short(error.message)}{place and f' at {place}'}") from None
        except ValueError as error:
            raise ValueError(f"is no JSON: {short(str(error))}") from None

    def complaint(self, document: Any) -> tuple[str, str] | None:
        """Return (JSON pointer, what is wrong there) of the first thing that is; None if the document is as it should be.
        Values of the document are not told, names of its members are.
        """
        if self._validator.is_valid(document):
            return None
        try:
            self._validator.validate(document)
        except ValueError as error:
            place = pointer.spell(getattr(error, "instance_path", []))
            return short(place), short(getattr(error, "message", str(error)))
        return None


def short(text: str) -> str:
    """Return `text` in one visible line of bounded length."""
    visible = printable(text[: MESSAGE_CHARS_MAX + 1])
    return visible if len(visible) <= MESSAGE_CHARS_MAX else f"{visible[:MESSAGE_CHARS_MAX]}…"
