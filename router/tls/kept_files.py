"""Copies of TLS files that were usable, for a process that starts while the files on the disk are broken.

The supervisor keeps the copies in memory and hands them to each child as sealed memory. They are never written to a disk, and
hold private keys: nothing prints them. A set of files belongs to one place of the settings (`tls`, `admin.tls`,
`services.NAME.backend_tls`) and is replaced as a whole, once all of its files are usable together.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from router.errors import StartError
from router.tls import contexts
from router.tls.certificate_info import unusable
from router.tls.contexts import BackendTls, KeptContents, ServerTls

log = logging.getLogger(__name__)
KeptFiles = Mapping[str, KeptContents]
"""Place in the settings → path of a file → its contents."""
FILE_BYTES_MAX: Final = 1 << 20
"""The largest file that is kept; a bundle of all public authorities has 250 KiB."""
LISTEN, ADMIN = "tls", "admin.tls"


def backend_place(service: str) -> str:
    """Return the place of the TLS settings towards the backends of a service."""
    return f"services.{service}.backend_tls"


def places(settings: dict[str, Any]) -> dict[str, ServerTls | BackendTls]:
    """Return the TLS of these settings (plain data) by their place, as far as they name files."""
    found: dict[str, ServerTls | BackendTls | None] = {
        LISTEN: contexts.server_of(settings["tls"]),
        ADMIN: contexts.server_of(settings["admin"]["tls"]),
    }
    for name, service in settings["services"].items():
        found[backend_place(name)] = contexts.backend_of(service["backend_tls"])
    return {place: tls for place, tls in found.items() if tls is not None and tls.files}


def usable_copy(tls: ServerTls | BackendTls) -> dict[str, bytes]:
    """Return the contents of the files by path; raise StartError unless a context can be made from exactly these contents."""
    contents = {}
    for path in tls.files:
        try:
            with open(path, "rb") as file:
                contents[path] = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise unusable(f"{path}: {error.strerror}") from None
        if len(contents[path]) > FILE_BYTES_MAX:
            raise unusable(f"{path}: it has more than {FILE_BYTES_MAX} bytes")
    with copies(contents) as copied:
        if isinstance(tls, ServerTls):
            contexts.server_context(tls.relocated(copied))
        else:
            contexts.backend_context(tls.relocated(copied))
    return contents


def is_kept(tls: ServerTls | BackendTls) -> bool:
    """Return whether there is a copy of each file."""
    return tls.kept is not None and tls.kept.keys() >= set(tls.files)


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return the context of a listener that starts: from its files, else from their copies; raise StartError if neither works."""
    try:
        return contexts.server_context(tls)
    except StartError as error:
        if not is_kept(tls):
            raise
        log.error("the certificates that were last usable are in use: %s", error.detail)
    with copies(tls.kept or {}) as places:
        return contexts.server_context(tls.relocated(places))


def probing_context(tls: BackendTls) -> ssl.SSLContext:
    """Return the context of probes: from the files, else from their copies; raise StartError if neither works."""
    try:
        return contexts.backend_context(tls)
    except StartError as error:
        if not is_kept(tls):
            raise
        log.error("probes use the TLS files that were last usable: %s", error.detail)
    return backend_context(tls)


def backend_context(tls: BackendTls) -> ssl.SSLContext:
    """Return the context towards backends from the copies of its files."""
    with copies(tls.kept or {}) as places:
        return contexts.backend_context(tls.relocated(places))


@contextmanager
def copies(contents: KeptContents) -> Iterator[dict[str, str]]:
    """Yield a path for each copy, by the path of the file, for functions that read only files. The copies are in memory."""
    with ExitStack() as opened:
        found = {}
        for path, content in contents.items():
            file = opened.enter_context(open(os.memfd_create("rollback-router-pem", os.MFD_CLOEXEC), "wb"))
            file.write(content)
            file.flush()
            found[path] = f"/proc/self/fd/{file.fileno()}"
        yield found


def encode(kept: KeptFiles) -> bytes:
    """Return the copies as a document."""
    return json.dumps(
        {
            place: {path: base64.b64encode(content).decode() for path, content in files.items()}
            for place, files in kept.items()
        }
    ).encode()


def decode(document: bytes) -> dict[str, dict[str, bytes]]:
    """Return the copies in a document that `encode` has made."""
    return {
        place: {path: base64.b64decode(content) for path, content in files.items()}
        for place, files in json.loads(document).items()
    }


def refreshed(kept: KeptFiles, settings: dict[str, Any]) -> tuple[dict[str, KeptContents], list[str]]:
    """Return the copies for these settings (plain data), and why some could not be made anew: those of `kept` stay then."""
    found: dict[str, KeptContents] = {}
    reasons = []
    for place, tls in places(settings).items():
        try:
            found[place] = usable_copy(tls)
        except StartError as error:
            reasons.append(f"{place}: {error.detail}")
            if place in kept and set(tls.files) <= kept[place].keys():
                found[place] = kept[place]
    return found, reasons
