"""A blocking client of the admin API. It uses the standard library only, so that a command starts at once."""

from __future__ import annotations

import json
import os
import pwd
import socket
from typing import Any, Final
from urllib.parse import quote, urlsplit

from router.errors import CommandError, ProblemError, Refusal
from router.errors.codes import CommandCode, RefusalCode
from router.rollout.model.endpoint import UNIX, unix_path_is_wrong
from router.runtime.text.secret_text import masked_urls
from router.runtime.text.suggestion import known_names

TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 64 << 20

STATUS: Final = "/v1/status"
Document = dict[str, Any]


class Client:
    """The admin API of one router. Every call opens its own connection, and raises ProblemError unless the answer is 2xx."""

    def __init__(self, url: str, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        """`url` is http://HOST:PORT (https if a proxy adds TLS), or unix:/PATH."""
        url = url.strip()
        self.url = masked_urls(url.rstrip("/"))
        self._timeout_s = timeout_s
        self._fields = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._unix = url.rstrip("/").removeprefix(UNIX) if url.startswith(UNIX) else ""
        self._secure = False
        self._address: tuple[str | None, int | None] = ("localhost", None)
        if self._unix:
            if wrong := unix_path_is_wrong(self._unix):
                raise _bad_url(url, wrong)
            return
        try:
            parts = urlsplit(url.rstrip("/"))
            self._address = (parts.hostname, parts.port)
        except ValueError as error:
            raise _bad_url(url, str(error)) from None
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.path
            or parts.query
            or not url.isprintable()
        ):
            raise _bad_url(url, "it needs a scheme and a host, and no path")
        if "@" in parts.netloc:
            raise _bad_url(url, "it has user information, and the router takes a token: --token-file")
        self._secure = parts.scheme == "https"

    def get(self, path: str) -> Document:
        """Return the document at `path`."""
        document = self._call("GET", path, None, {})
        if path == STATUS and "services" not in document:  # the first call of most commands
            raise self._not_the_router(200)
        return document

    def change(
        self, method: str, path: str, body: Document, *, dry_run: bool = False, generation: int | None = None
    ) -> Document:
        """Send a change in the name of the current user; return the router's answer."""
        fields = {"Content-Type": "application/json"}
        if generation is not None:
            fields["If-Match"] = f'"{generation}"'
        return self._call(method, f"{path}?dry_run=true" if dry_run else path, {"actor": actor(), **body}, fields)

    def service(self, name: str) -> str:
        """Return the path of a service: the named one, or the only one there is."""
        if not name:
            names = sorted(self.get(STATUS)["services"])
            if len(names) != 1:
                several = f"there are several services, name one: {', '.join(names)}"
                raise Refusal(RefusalCode.SERVICE_NEEDED, several if names else "the router has no service")
            name = names[0]
        return f"/v1/services/{segment(name)}"

    def status(self, service: str = "") -> Document:
        """Return the status of the router; with `service` that service alone, and the alarms that concern it."""
        document = self.get(STATUS)
        if not service:
            return document
        services = document["services"]
        if service not in services:
            detail = f"there is no service {service!r}; {known_names(service, services)}"
            raise Refusal(RefusalCode.SERVICE_UNKNOWN, detail)
        alarms = [alarm for alarm in document["alarms"] if alarm.get("service") in (None, service)]
        return {**document, "alarms": alarms, "services": {service: services[service]}}

    def text(self, path: str) -> str:
        """Return the text at `path`, which is not JSON."""
        status, answer = self._exchange("GET", path, None, {"Accept": "*/*"})
        if not 200 <= status < 300:
            self._parse(status, answer)
        return answer.decode("utf-8", "replace")

    def _call(self, method: str, path: str, body: Document | None, fields: dict[str, str]) -> Document:
        return self._parse(*self._exchange(method, path, body, fields))

    def _exchange(self, method: str, path: str, body: Document | None, fields: dict[str, str]) -> tuple[int, bytes]:
        import http.client  # 15 ms that --help need not take

        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        host, port = self._address
        connection = kind(str(host), port, timeout=self._timeout_s)
        try:
            if self._unix:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(self._timeout_s)
                connection.sock.connect(self._unix)
            connection.request(method, path, None if body is None else json.dumps(body), {**self._fields, **fields})
            response = connection.getresponse()
            return response.status, response.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _parse(self, status: int, answer: bytes) -> Document:
        try:
            document = json.loads(answer)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._not_the_router(status)
        if not 200 <= status < 300:
            raise ProblemError(status, document)
        return document

    def _not_the_router(self, status: int) -> CommandError:
        return CommandError(
            CommandCode.NOT_THE_ROUTER, f"{self.url} answered {status}, but not as a router's admin API"
        )

    def _unreachable(self, error: Exception) -> CommandError:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return CommandError(CommandCode.ROUTER_UNREACHABLE, f"no router answers at {self.url}: {why}")


def segment(value: str) -> str:
    """Return `value` as one segment of a path: labels may contain slashes."""
    return quote(value, safe="")


def actor() -> str:
    """Return the name of the current user, for the journal."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def _bad_url(url: str, why: str) -> CommandError:
    return CommandError(
        CommandCode.ADMIN_URL_INVALID, f"--admin {masked_urls(url)!r}: {why}; write it as http://127.0.0.1:8081"
    )


def one_service(argument: str, option: str) -> str:
    """Return the service named by argument or option; raise CommandError if they differ."""
    if argument and option and argument != option:
        raise CommandError(CommandCode.USAGE, f"SERVICE and --service differ: {argument}, {option}")
    return argument or option
