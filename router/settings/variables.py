"""The values of environment variables as a nested document, the same that the settings file gives.

`__` stands between table and name. A name is compared without regard to case; `_` also stands for a dash or a dot in the name
of a service, because a shell has neither in names. A list or a table is written as JSON. Every error names the variable, the
form and an example, and never the value: it may hold a token.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel

from router.errors.codes import StartCode
from router.settings.environment import ENV_PREFIX
from router.settings.mistakes import Mistake
from router.settings.sections.address import Address
from router.settings.setting_types import LISTS, alternatives, members
from router.settings.settings import Settings

Document = dict[str, Any]
Place = tuple[str, ...]

_SEPARATOR: Final = "__"
_NEAR: Final = 0.7
"""The least likeness of two names for the one to be proposed instead of the other."""
_AROUND: Final = " \t\r\n\ufeff"
_EXAMPLES: Final[Mapping[Place, Any]] = {
    ("notify",): [{"name": "on-call", "kind": "slack", "url_file": "/etc/rollback-router/slack.url"}],
    ("services",): {"fraud": {"active": {"version": "v1", "endpoints": ["http://127.0.0.1:9001"]}}},
}


class _Refused(Exception):
    def __init__(self, variable: str, text: str, code: StartCode = StartCode.SETTINGS_INVALID) -> None:
        super().__init__(text)
        self.mistake = Mistake("", text, variable=variable, code=code)


class Variables:
    """`document`: the settings of the environment. `names`: the variable of each place. `mistakes`: what cannot be used."""

    def __init__(self, settings: Mapping[str, str], services: Iterable[str] = ()) -> None:
        """Read the variables. `services` are the names of the settings file and the flags.

        Mistakes are unknown names, values in a wrong form, and two variables that set the same place.
        """
        self.document: Document = {}
        self.names: dict[Place, str] = {}
        self.mistakes: list[Mistake] = []
        self._services = tuple(services)
        # Tables first, so that a variable of one member wins over the one of its table.
        for name in sorted(settings, key=lambda name: (name.count(_SEPARATOR), name)):
            try:
                self._take(name, settings[name].strip(_AROUND))
            except _Refused as error:
                self.mistakes.append(error.mistake)

    def _take(self, name: str, text: str) -> None:
        place, kinds = self._place(name)
        if place in self.names:
            raise _Refused(name, f"{self.names[place]} and {name} are the same setting: remove one of them")
        self.names[place] = name
        _put(self.document, place, _value(name, text, place, kinds))

    def _place(self, name: str) -> tuple[Place, tuple[Any, ...]]:
        place: Place = ()
        kinds: tuple[Any, ...] = (Settings,)
        for part in name[len(ENV_PREFIX) :].split(_SEPARATOR):
            key, kinds = self._member(name, part, place, kinds)
            place = (*place, key)
        return place, kinds

    def _member(self, name: str, part: str, place: Place, kinds: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        for kind in kinds:
            if typing.get_origin(kind) is dict and part:
                return self._key(name, part, place), alternatives(typing.get_args(kind)[1])
            known = members(kind)
            if part.lower() in known:
                return part.lower(), alternatives(known[part.lower()])
        if any(typing.get_origin(kind) in LISTS for kind in kinds):
            table = ENV_PREFIX + _SEPARATOR.join(place).upper()
            raise _Refused(name, f"a list is one value: {_form(table, place, kinds)}")
        remedy = _meant(part, place, kinds)
        raise _Refused(name, f"there is no such setting: {remedy}", StartCode.SETTINGS_UNKNOWN)

    def _key(self, name: str, part: str, place: Place) -> str:
        """Return the key in a table of tables, for example the name of a service in the spelling of the file."""
        if place != ("services",):
            return part
        if part in self._services:
            return part
        alike = sorted({service for service in self._services if _shape(service) == _shape(part)})
        if len(alike) > 1:
            alike = [service for service in alike if service.lower() == part.lower()] or alike
        if len(alike) > 1:
            raise _Refused(name, f"it may mean each of the services {', '.join(alike)}")
        if alike:
            return alike[0]
        return part.lower() if part.isupper() else part


def _meant(part: str, place: Place, kinds: tuple[Any, ...]) -> str:
    """Return the remedy for an unknown name: the nearest variable at this place, if one is near."""
    known = {member.upper() for kind in kinds for member in members(kind)}
    near = get_close_matches(part.upper(), known, n=1, cutoff=_NEAR)
    if not near:
        return "remove the variable, or name it without this prefix"
    return f"did you mean {ENV_PREFIX + _SEPARATOR.join((*(key.upper() for key in place), near[0]))}?"


def _shape(service: str) -> str:
    return re.sub(r"[.\-]", "_", service).upper()


def _put(document: Document, place: Place, value: Any) -> None:
    for key in place[:-1]:
        inner = document.get(key)
        if not isinstance(inner, dict):
            inner = document[key] = {}
        document = inner
    document[place[-1]] = value


def _value(name: str, text: str, place: Place, kinds: tuple[Any, ...]) -> Any:
    """Return the value: text for a plain setting, the parsed JSON for a list or a table."""
    compound = [kind for kind in kinds if _is_compound(kind)]
    if not compound or (len(compound) < len(kinds) and not text.startswith(("{", "["))):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    wanted = tuple(list if typing.get_origin(kind) in LISTS else dict for kind in compound)
    if not isinstance(found, wanted):
        raise _Refused(name, _form(name, place, kinds))
    return found


def _form(name: str, place: Place, kinds: tuple[Any, ...]) -> str:
    [kind, *_] = [kind for kind in kinds if _is_compound(kind)]
    word = "list" if typing.get_origin(kind) in LISTS else "table"
    example = _EXAMPLES.get(place) or _example(kind)
    return f"write the {word} as JSON, for example {name}='{json.dumps(example, ensure_ascii=False)}'"


# -- the types of the settings
def _is_compound(kind: Any) -> bool:
    return kind is not Address and (typing.get_origin(kind) in (*LISTS, dict) or bool(members(kind)))


def _example(kind: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in LISTS:
        [item] = alternatives(typing.get_args(kind)[0])
        return ["a", "b"] if item is str else [_example(item)]
    if origin is dict:
        return {"NAME": _example(alternatives(typing.get_args(kind)[1])[0])}
    if origin is typing.Literal:
        return typing.get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        required = {name: field for name, field in kind.model_fields.items() if field.is_required()}
        shown = required or dict(list(kind.model_fields.items())[:1])
        return {name: _example(alternatives(field.annotation)[0]) for name, field in shown.items()}
    if members(kind):
        first, annotation = next(iter(members(kind).items()))
        return {first: _example(alternatives(annotation)[0])}
    return {int: 1, float: 1.0, bool: True}.get(kind, "…")
