"""A client of MLflow's model registry over its REST API (2.0, the same in MLflow 1 to 3), without MLflow's library.

Every call opens its own connection, ends within `timeout_s`, follows no redirect (which could reveal the token) and reads at
most ANSWER_BYTES_MAX. The token or password is read from its file at each call, so a new one needs no restart.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from router import __version__
from router.control.bulkhead import Bulkhead, BulkheadResolver
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.versions.model_uri import ModelUri
from router.runtime.printable import printable
from router.runtime.text import secret_text
from router.settings.sections.mlflow import MlflowSettings

ANSWER_BYTES_MAX: Final = 1 << 20
SECRET_BYTES_MAX: Final = 64 << 10
DETAIL_CHARS_MAX: Final = 300
CALLS_MAX: Final = 4
"""Concurrent name resolutions."""
_CODES: Final = {
    400: RefusalCode.MODEL_UNKNOWN,
    404: RefusalCode.MODEL_UNKNOWN,
    401: RefusalCode.MLFLOW_DENIED,
    403: RefusalCode.MLFLOW_DENIED,
}
"""The code of a refusal by the status of MLflow's answer. It answers 400 for names that cannot exist."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model. `source` is the URI of its files, `status` is READY unless its upload failed."""

    uri: ModelUri
    source: str | None
    status: str
    tags: dict[str, str]


class MlflowRefused(Refusal):
    """The server refused a call. `final`: it would refuse the same call again; False for authentication and rate limits."""

    def __init__(self, answered: int, detail: str) -> None:
        super().__init__(_CODES.get(answered, RefusalCode.MLFLOW_REFUSED), detail)
        self.final = answered not in (401, 403, 408, 429)


class Mlflow:
    """One tracking server. Errors are Refusals: `mlflow_unreachable`, else MlflowRefused."""

    def __init__(self, server: MlflowSettings) -> None:
        self._server = server
        self._root = f"{server.tracking_uri}/api/2.0/mlflow"
        self._timeout = aiohttp.ClientTimeout(total=server.timeout_s, connect=server.connect_timeout_s)
        self._bulkhead = Bulkhead("mlflow", CALLS_MAX)
        self._credentials_read: asyncio.Future[dict[str, str]] | None = None

    async def version(self, uri: ModelUri) -> ModelVersion:
        """Return the version that `uri` names by number or alias."""
        if uri.number is not None:
            path = f"model-versions/get?name={quote(uri.name, safe='')}&version={uri.number}"
        else:
            path = f"registered-models/alias?name={quote(uri.name, safe='')}&alias={uri.alias}"
        document = await self._call("GET", path)
        try:
            model = document["model_version"]
            tags = {str(tag["key"]): str(tag.get("value", "")) for tag in model.get("tags", ())}
            found = ModelUri(str(model["name"]), str(int(model["version"])))
            return ModelVersion(found, str(model.get("source") or "") or None, str(model.get("status", "READY")), tags)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._unreachable("it answered, but not with a model version") from None

    async def aliased(self, name: str, alias: str) -> str | None:
        """Return the number that the alias points to; None if there is no such alias."""
        try:
            return (await self.version(ModelUri(name, None, alias))).uri.number
        except MlflowRefused as refusal:
            if refusal.final:
                return None
            raise

    async def set_tag(self, uri: ModelUri, key: str, value: str) -> None:
        """Set one tag of a version. The call is idempotent."""
        body = {"name": uri.name, "version": uri.number, "key": key, "value": value}
        await self._call("POST", "model-versions/set-tag", body)

    async def set_alias(self, name: str, alias: str, number: str) -> None:
        """Point the alias to another version."""
        await self._call("POST", "registered-models/alias", {"name": name, "alias": alias, "version": number})

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Accept": "application/json", "User-Agent": f"rollback-router/{__version__}"}
        try:
            async with asyncio.timeout(self._server.timeout_s):  # reading the secret counts, too: its disk may hang
                headers |= await self._auth_header()
                connector = aiohttp.TCPConnector(resolver=BulkheadResolver(self._bulkhead), force_close=True)
                async with aiohttp.ClientSession(connector=connector, timeout=self._timeout) as session:
                    url = f"{self._root}/{path}"
                    async with session.request(
                        method, url, json=body, headers=headers, allow_redirects=False
                    ) as answer:
                        raw = await answer.content.read(ANSWER_BYTES_MAX + 1)
                        while len(raw) <= ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX)):
                            raw += more
                        return self._parse(answer.status, raw)
        except TimeoutError:
            raise self._unreachable(f"no answer within {self._server.timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise self._unreachable(str(error) or type(error).__name__) from None
        except secret_text.SecretUnusable as error:
            raise self._unreachable(_unusable(self._server, error)) from None
        except (OSError, ValueError) as error:
            raise self._unreachable(str(error)) from None

    async def _auth_header(self) -> dict[str, str]:
        """Return the Authorization field. At most one thread waits for the file, because the thread pool is shared."""
        if self._credentials_read is None or self._credentials_read.done():
            self._credentials_read = asyncio.get_running_loop().run_in_executor(None, _credentials, self._server)
            self._credentials_read.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(self._credentials_read)

    def _parse(self, status: int, raw: bytes) -> dict[str, Any]:
        if len(raw) > ANSWER_BYTES_MAX:
            raise self._unreachable(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
        try:
            document = orjson.loads(raw or b"{}")
        except orjson.JSONDecodeError:
            document = None
        if status >= 500 or not isinstance(document, dict) or 300 <= status < 400:
            raise self._unreachable(f"it answered {status}, but not as MLflow's REST API")
        if status >= 400:
            why = str(document.get("message") or document.get("error_code") or f"status {status}")[:DETAIL_CHARS_MAX]
            raise MlflowRefused(status, f"MLflow at {self._server.tracking_uri}: {why}")
        return document

    def _unreachable(self, why: str) -> Refusal:
        text = printable(why)
        detail = f"MLflow at {self._server.tracking_uri} cannot be used now: {text[:DETAIL_CHARS_MAX]}"
        return Refusal(RefusalCode.MLFLOW_UNREACHABLE, detail)


def complaint(server: MlflowSettings) -> str | None:
    """Return the error of the secret's file; None if it is usable."""
    try:
        _credentials(server)
    except (OSError, ValueError) as error:
        return _unusable(server, error)
    return None


def _unusable(server: MlflowSettings, error: Exception) -> str:
    return f"mlflow.secret_file {server.secret_file}: {getattr(error, 'strerror', None) or error}"


def _credentials(server: MlflowSettings) -> dict[str, str]:
    """Return the Authorization field, if a secret is configured; raise OSError or ValueError if its file is unusable."""
    if server.secret_file is None:
        return {}
    secret = secret_text.from_file(
        server.secret_file, source="it", bytes_max=SECRET_BYTES_MAX, ascii_only=server.user is None
    )
    if server.user is None:
        return {"Authorization": f"Bearer {secret}"}
    encoded = base64.b64encode(f"{server.user}:{secret}".encode()).decode()  # RFC 7617 §2
    return {"Authorization": f"Basic {encoded}"}
