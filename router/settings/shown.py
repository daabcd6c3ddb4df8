"""The settings as users may see them: complete, with defaults, and without secrets. For `config show` and `GET /v1/settings`.

Hidden are hashes of tokens, URLs of notification channels, bodies of probes, values of header fields, and everything whose name
says that it is a secret. Of every other URL the user information and the query are hidden. Paths of secret files are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.errors import StartError
from router.runtime.text.secret_text import masked_urls
from router.settings.sections.proxy import masked_proxy
from router.settings.settings import Settings

HIDDEN: Final = "(hidden)"
_SECRET: Final = ("sha256", "secret", "token", "password", "key_pem", "body", "authorization")
"""Members that hold a secret, wherever they stand."""
_RECEIVERS: Final = "notify"


def shown(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain data of JSON."""
    document: dict[str, Any] = settings.model_dump(mode="json")
    for name in ("listen", "admin_listen"):
        document[name] = str(getattr(settings, name))
    try:
        document["state_dir"] = str(settings.resolved_state_dir())
    except StartError:  # no home directory: `run` says so
        document["state_dir"] = None
    return {name: _shown(name, value, in_receiver=name == _RECEIVERS) for name, value in document.items()}


def _shown(name: str, value: Any, *, in_receiver: bool) -> Any:
    if isinstance(value, Mapping):
        fields = name == "headers"  # a table of header fields: the names are shown
        return {
            key: HIDDEN if fields and isinstance(item, str) else _shown(key, item, in_receiver=in_receiver)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_shown(name, item, in_receiver=in_receiver) for item in value]
    if not isinstance(value, str):
        return value
    if name == "proxy":
        value = masked_proxy(value)
    return HIDDEN if name in _SECRET or (in_receiver and name == "url") else masked_urls(value)


def differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (place, value, other value) of each value that differs; a missing one is None. Hidden values are not compared."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in {**one, **other}:
            yield from differences(one.get(name), other.get(name), f"{place}.{name}" if place else name)
    elif one != other:
        yield place, one, other
