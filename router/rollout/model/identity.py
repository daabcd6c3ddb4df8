"""What identifies the server that answers a version's probe: the class of its status, its models, its certificate's names.

A standby is only the version that was verified. Another server on its address may answer, too (a stopped container's
address is given away again), so an answer of another kind is not a good one (docs/behaviour/probes.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

NAMES_MAX: Final = 64
NAME_CHARS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """`probe`: the request that was answered; `status`: the status divided by 100; `models`, `certificate`: names, sorted.

    Empty names: the answer held none.
    """

    probe: str
    status: int
    models: tuple[str, ...] = ()
    certificate: tuple[str, ...] = ()

    def difference(self, known: Identity) -> str | None:
        """Return why this answer cannot come from the server that answered `known`; None if it can.

        Another request proves nothing. Of names one in common suffices: adapters are loaded and certificates renewed.
        """
        if self.probe != known.probe:
            return None
        if self.status != known.status:
            return f"its probe answers {self.status}xx, and {known.status}xx when it was verified"
        for what, now, before in (
            ("the model", self.models, known.models),
            ("the certificate of", self.certificate, known.certificate),
        ):
            if before and not set(now).intersection(before):
                named = ", ".join(now[:3]) or "nothing"
                return f"its probe names {what} {named}, and {', '.join(before[:3])} when it was verified"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the identity as plain data."""
        return {
            "probe": self.probe,
            "status": self.status,
            "models": list(self.models),
            "certificate": list(self.certificate),
        }


def from_dict(data: dict[str, Any]) -> Identity:
    """Return the identity in `data`; the inverse of `Identity.as_dict`."""
    return Identity(data["probe"], data["status"], tuple(data.get("models", ())), tuple(data.get("certificate", ())))


def models_in(text: str) -> tuple[str, ...]:
    """Return the names of the models that a JSON answer states; empty if it states none.

    Known are `model` (OpenAI, Anthropic), `model_name` (KServe V2), `id` of each member of `data` (OpenAI's list of models),
    and `name` beside `versions` or `platform` (the metadata of Triton).
    """
    if not text.lstrip().startswith("{"):  # most answers of a health check are no JSON: an exception costs more
        return ()
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(answer, dict):
        return ()
    members = answer.get("data")
    listed = [member.get("id") for member in members if isinstance(member, dict)] if isinstance(members, list) else []
    single = [answer.get("model"), answer.get("model_name")]
    if "versions" in answer or "platform" in answer:
        single.append(answer.get("name"))
    if answer.get("object") == "list":
        single += listed
    return _names(single)


def certificate_names(certificate: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the alternative names of a verified certificate as `ssl` gives it, else its common names."""
    if not certificate:
        return ()
    alternatives = [value for _, value in certificate.get("subjectAltName", ())]
    common = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    return _names(alternatives or common)


def _names(values: list[Any]) -> tuple[str, ...]:
    names = {value[:NAME_CHARS_MAX] for value in values if isinstance(value, str) and value}
    return tuple(sorted(names)[:NAMES_MAX])
