"""What `doctor` finds around the settings: secret files, MLflow, the token's file, descriptors, the disk of the state."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from router.cli.client import Client
from router.cli.doctor_check import DoctorCheck, warned
from router.errors import RouterError
from router.runtime import fd_limits
from router.runtime.host import mounts
from router.runtime.text.hints import Hints
from router.runtime.text.plurals import counted

if TYPE_CHECKING:
    from router.settings.settings import Settings

CONNECT_TIMEOUT_S: Final = 2.0
FREE_BYTES_MIN: Final = 100 << 20
_LOST: Final = {"tmpfs": "at the next boot", "ramfs": "at the next boot", "overlay": "with the container"}
"""File systems whose files do not last."""
_RELOAD: Final = "send SIGHUP to the router, or restart it; `config show --running`   (lists the values)"


def forgotten(settings: Settings, hints: Hints, *, is_running: bool) -> Iterator[DoctorCheck]:
    """Yield what is usually forgotten in the settings."""
    from router.settings.omissions import no_way_back, omissions

    found = [*omissions(settings), *(() if is_running else no_way_back(settings))]
    for place, what, remedy in found:
        yield warned(place, what, hints.text(remedy))


def secret_files(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield the receivers, hooks and registries whose secret cannot be used."""
    from router.cli.settings import unusable_secrets

    for problem in unusable_secrets(settings):
        yield DoctorCheck(
            "secret file", False, problem, "make the file readable for the router's user, or correct its path"
        )


def registry(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield whether MLflow, or the proxy that leads there, accepts connections. Without it the router serves, and
    `deploy models:/…` does not work.
    """
    from router.control.forward_proxy import proxy_for
    from router.settings.sections.proxy import DEFAULT_PORTS

    uri = settings.mlflow.tracking_uri
    if uri is None:
        return
    remedy = "start it, correct mlflow.tracking_uri, or set mlflow.proxy if a proxy leads there"
    name = uri
    try:
        if proxy := proxy_for(uri, settings.mlflow.proxy, "mlflow.proxy"):
            name, remedy = f"{uri}, by {proxy}", f"start it, or correct {proxy.origin}"
        parts = urlsplit(proxy.url if proxy else uri)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        yield warned("MLflow", f"{name}: {error.strerror or error}", remedy)
    except ValueError as error:  # a variable names no usable proxy, or the host is no name
        yield warned("MLflow", f"{name}: {error}", "correct it")
    else:
        yield DoctorCheck("MLflow", True, f"{name} accepts connections")


def token_file(path: str) -> Iterator[DoctorCheck]:
    """Yield a warning if other users can read the file of the token."""
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode) if path else 0
    except OSError:
        return  # the command itself says so
    if mode & 0o077:
        yield warned("token file", f"{path} has the mode {mode:04o}: other users can read it", f"chmod 600 {path}")


def descriptors(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield a warning if the limits of connections do not fit into the descriptors that a process here may have."""
    limits, hard = settings.limits, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    shares = fd_limits.divide(limits.connections_max, limits.requests_max, limits.in_flight_max, hard)
    if shares.required > shares.usable:
        detail = f"{hard} a process: a worker takes {shares.connections_max} of {limits.connections_max} connections"
        remedy = f"LimitNOFILE={shares.required + fd_limits.SPARE} in the unit, or a smaller limits.connections_max"
        yield warned("descriptors", detail, remedy)


def disk(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield how much room the state directory of a running router has, if it is on this machine."""
    try:
        path = settings.resolved_state_dir()
        free_bytes = shutil.disk_usage(path).free
    except (RouterError, OSError):
        return
    good = free_bytes >= FREE_BYTES_MIN
    remedy = "" if good else f"free {FREE_BYTES_MIN >> 20} MiB: without room no change is journalled"
    yield DoctorCheck("disk", good, f"{free_bytes >> 20} MiB free for {path}", remedy)


def lasting(path: Path) -> Iterator[DoctorCheck]:
    """Yield a warning if the state does not outlive the machine's next boot, or its container."""
    mount = mounts.of(path)
    if mount.kind in _LOST:
        detail = f"{path} is on {mount}, and is lost {_LOST[mount.kind]}: versions, quarantines, incidents"
        yield warned("state directory", detail, "another directory: --state-dir DIR, or a volume")


def reloaded(config: str, client: Client, hints: Hints) -> Iterator[DoctorCheck]:
    """Yield a warning if the running router runs with other values than the file: SIGHUP was forgotten, or was refused."""
    from router.cli.settings import differing

    try:
        running = client.get("/v1/settings")
        if running["origin"] != os.path.abspath(config):
            return
        found = differing(running["settings"], config)
    except RouterError:
        return
    if found:
        several, first = counted(len(found), "value"), found[0]["place"]
        detail = f"{several} of {config} are not in effect, {first} first"
        yield warned("reload", detail, hints.text(_RELOAD))
