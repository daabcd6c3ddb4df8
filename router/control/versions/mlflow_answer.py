"""What an answer to a call of MLflow's REST API means: a document, a refusal, or an answer of something else.

Between the router and MLflow there may be a proxy, a login page, a captive portal or another server. Their answers are named as
such, with host, status, content type and the first words, and say nothing about a model. Pure: an answer in, a document or a
Refusal out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.text import shorten_line
from router.settings.sections.mlflow import MlflowSettings

ANSWER_BYTES_MAX: Final = 1 << 20
DETAIL_CHARS_MAX: Final = 300
WORDS_CHARS_MAX: Final = 120
"""The first words of a page."""
_LATER: Final = (408, 425, 429)
_NO_SUCH_PATH: Final = ("ENDPOINT_NOT_FOUND",)
"""Error codes of a 404 that is about the path and not about a model."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`url` is that of the answer, after redirects. `challenge` is the scheme that WWW-Authenticate asks for."""

    url: str
    status: int
    content_type: str
    raw: bytes
    challenge: str = ""

    def document(self) -> dict[str, Any] | None:
        """Return the body if it is a JSON object."""
        try:
            found = orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            return None
        return found if isinstance(found, dict) else None

    def words(self) -> str:
        """Return the first words as one printable line, of a page without its markup."""
        text = self.raw[: 64 << 10].decode("utf-8", "replace")
        if self.is_page():
            text = re.sub(r"(?is)<(script|style)\b.*?(</\1\s*>|$)|<!--.*?(-->|$)|<[^>]*>", " ", text)
        return shorten_line(text.strip(), WORDS_CHARS_MAX)

    def is_page(self) -> bool:
        """Return whether the body is HTML."""
        start = self.raw[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return "html" in self.content_type.lower() or start.startswith((b"<!doctype", b"<html", b"<head", b"<body"))


class MlflowRefused(Refusal):
    """The server refused a call. `final`: it would refuse the same call again; False where a new token or a right may help."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(code, detail)
        self.final = code in (RefusalCode.MODEL_UNKNOWN, RefusalCode.MLFLOW_REFUSED)


def parse(answer: Answer, server: MlflowSettings) -> dict[str, Any]:
    """Return the document of an answer; raise Refusal."""
    if len(answer.raw) > ANSWER_BYTES_MAX:
        raise unreachable(server, f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
    status, document = answer.status, answer.document()
    if status in (401, 403):
        raise _denied(answer, document, server)
    if status == 407:
        raise not_mlflow(answer, "the proxy wants a user and a password: set mlflow.proxy")
    if status < 300:
        if document is None:
            raise not_mlflow(answer, "check mlflow.tracking_uri, and what is between the router and MLflow")
        return document
    code = str(document.get("error_code") or "") if document is not None else ""
    if status == 404 and (not code or code in _NO_SUCH_PATH):
        hint = "MLflow is not at this address (a path in front of it?), or is too old for this call"
        raise not_mlflow(answer, f"{hint}; check mlflow.tracking_uri")
    if answer.is_page() or status < 400:
        raise not_mlflow(answer, "this is the page of a proxy or of another server")
    if status >= 500 or status in _LATER:
        raise unreachable(server, f"it answered {_described(answer, document)}")
    if not code:
        raise not_mlflow(answer, "this is the answer of a proxy or of another server")
    refused = RefusalCode.MODEL_UNKNOWN if status in (400, 404) else RefusalCode.MLFLOW_REFUSED
    raise MlflowRefused(refused, f"MLflow at {server.tracking_uri}: {_described(answer, document)}"[:DETAIL_CHARS_MAX])


def unreachable(server: MlflowSettings, why: str) -> Refusal:
    """Return the refusal while the server cannot be used. A later call may succeed."""
    detail = f"MLflow at {server.tracking_uri} cannot be used now: {shorten_line(why, DETAIL_CHARS_MAX)}"
    return Refusal(RefusalCode.MLFLOW_UNREACHABLE, detail)


def not_mlflow(answer: Answer, why: str) -> Refusal:
    """Return the refusal of an answer that does not come from MLflow's REST API. A later call may succeed."""
    host = urlsplit(answer.url).netloc.rpartition("@")[2]
    kind = shorten_line(answer.content_type, 60) or "no content type"
    words = answer.words()
    found = f"{answer.status} ({kind}){f': {words}' if words else ' without a body'}"
    return Refusal(RefusalCode.NOT_MLFLOW, f"this answer of {host} is not MLflow's: {found}; {why}")


def _denied(answer: Answer, document: dict[str, Any] | None, server: MlflowSettings) -> MlflowRefused:
    if server.user is not None:
        sent, remedy = f"user {server.user}", f"check mlflow.user and the password in {server.secret_file}"
    elif server.secret_file is not None:
        sent, remedy = "a token", f"check the token in {server.secret_file}"
        if answer.challenge.lower() == "basic":
            remedy = "it wants a user and a password: set mlflow.user"
    else:
        sent, remedy = "no credentials", "set mlflow.secret_file, and mlflow.user for a password"
    if answer.status == 403 and server.secret_file is not None:
        remedy += ", and its permissions in MLflow"
    described = _described(answer, document)
    detail = f"MLflow at {server.tracking_uri} denies access: {described}; the router sent {sent}; {remedy}"
    return MlflowRefused(RefusalCode.MLFLOW_DENIED, detail)


def _described(answer: Answer, document: dict[str, Any] | None) -> str:
    """Return status and message of an answer as one printable line."""
    message = (document.get("message") or document.get("error_code") or "") if document is not None else answer.words()
    return f"{answer.status} {shorten_line(str(message), DETAIL_CHARS_MAX)}".strip()
