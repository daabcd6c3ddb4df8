"""Reloaded settings: some take effect at once, others need a restart."""

from __future__ import annotations

from typing import Final

from router.errors import StartError
from router.errors.codes import StartCode
from router.settings.sections.address import Address
from router.settings.settings import Settings

FIXED: Final = (
    "listen",
    "listen_mode",
    "admin_listen",
    "admin_listen_mode",
    "workers",
    "state_dir",
    "ready_path",
    "fail_point",
)
"""Settings that only a restart can change; `admin.tls` is one, too."""


def merged(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Return `new` with those values of `old` that cannot change, and the names of settings that need a restart.

    Raise StartError if `new` has no service.
    """
    if not new.services:
        raise StartError(StartCode.SETTINGS_INVALID, "services: there is none left; a router serves one at least")
    effective = {name: getattr(new, name) for name in FIXED} | {
        "listen": effective_address(new.listen, old.listen),
        "admin_listen": effective_address(new.admin_listen, old.admin_listen),
        "state_dir": new.state_dir.absolute() if new.state_dir else old.state_dir,
    }
    needs_restart = [name for name in FIXED if effective[name] != getattr(old, name)]
    if new.admin.tls != old.admin.tls:
        needs_restart.append("admin.tls")
    kept = {name: getattr(old, name) for name in FIXED}
    kept["admin"] = new.admin.model_copy(update={"tls": old.admin.tls})
    return new.model_copy(update=kept), needs_restart


def effective_address(configured: Address, bound: Address) -> Address:
    """Return `bound` if `configured` leaves the port, or the address of the host name, to the system; else `configured`."""
    if configured.unix or bound.unix:
        return configured
    if configured.port in (0, bound.port) and configured.host in (bound.host, "localhost"):
        return bound
    return configured
