"""Settings that are read again while the router runs: what of them takes effect, and what only a restart changes."""

from __future__ import annotations

from typing import Final

from router.settings.sections.address import Address
from router.settings.settings import Settings

FIXED: Final = (
    *("listen", "listen_mode", "admin_listen", "admin_listen_mode", "workers"),
    *("state_dir", "ready_path", "fail_point"),
)
"""Settings that only a restart can change; of `admin`, `tls` is one, too."""


def merged(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Return `new` with everything from `old` that cannot change, and the names of what would have."""
    asked = {name: getattr(new, name) for name in FIXED} | {
        "listen": where(new.listen, old.listen),
        "admin_listen": where(new.admin_listen, old.admin_listen),
        "state_dir": new.state_dir.absolute() if new.state_dir else old.state_dir,
    }
    needs_restart = [name for name in FIXED if asked[name] != getattr(old, name)]
    if set(new.services) != set(old.services):
        needs_restart.append("services")
    if new.admin.tls != old.admin.tls:
        needs_restart.append("admin.tls")
    kept = {name: getattr(old, name) for name in FIXED}
    kept["admin"] = new.admin.model_copy(update={"tls": old.admin.tls})
    services = {name: new.services.get(name, service) for name, service in old.services.items()}
    return new.model_copy(update={**kept, "services": services}), needs_restart


def where(asked: Address, bound: Address) -> Address:
    """Return `bound` if `asked` left the port, or the address of the host name, to the system."""
    if asked.unix or bound.unix:
        return asked
    if asked.port in (0, bound.port) and asked.host in (bound.host, "localhost"):
        return bound
    return asked
