"""An address to listen on: HOST:PORT or a Unix socket, and the permissions of that socket."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import Field, model_validator

from router.rollout.model.endpoint import UNIX, unix_path_is_wrong
from router.settings.sections.values import Strict

FileMode = Annotated[str, Field(pattern=r"^0?[0-7]{3}$")]
"""The permissions of a Unix socket, in octal."""


class Address(Strict):
    """HOST:PORT, an IPv6 host in brackets; or unix:/PATH, then `host` is empty and `port` 0."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    unix: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.startswith(UNIX):
            path = value.removeprefix(UNIX)
            if wrong := unix_path_is_wrong(path):
                raise ValueError(f"{value!r} {wrong}")
            return {"host": "", "port": 0, "unix": path}
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"{value!r} is not HOST:PORT, for example 127.0.0.1:8080, nor unix:/PATH")
        return {"host": host.strip("[]") or "0.0.0.0", "port": int(port)}

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address: 127.0.0.0/8, ::1 or the name localhost (RFC 1122, RFC 4291)."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def url(self, secure: bool) -> str:
        """The address as a URL for clients; `secure`: with TLS."""
        return str(self) if self.unix else f"{'https' if secure else 'http'}://{self}"

    def __str__(self) -> str:
        if self.unix:
            return f"{UNIX}{self.unix}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
