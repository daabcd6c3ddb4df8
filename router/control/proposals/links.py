"""Links by which a proposal is decided without a token: signed, for one proposal, one verb and its expiry, used once.

The signature is an HMAC-SHA256 over these three under a secret of this state directory. Whoever has the link may decide, so
it belongs into messages that only those get who may. It is used once because a proposal is decided once. A secret that is
lost, or removed on purpose, makes every link invalid; the next start makes a new one.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path
from typing import Final

from router.control.monitors.alarms import Alarms
from router.rollout.proposals.proposal import Proposal
from router.runtime import owned_files
from router.settings.settings import Settings

log = logging.getLogger(__name__)
SECRET: Final = "proposal-links.key"
SECRET_BYTES: Final = 32
VERBS: Final = ("approve", "deny")


class ProposalLinks:
    """Signs links and knows its own again."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def signature(self, proposal_id: str, verb: str, until_s: int) -> str:
        """Return the signature of a link in hexadecimal digits."""
        told = f"rollback-router decide 1\n{proposal_id}\n{verb}\n{until_s}".encode()
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest()

    def path(self, proposal: Proposal, verb: str) -> str:
        """Return the path of the link on the admin port."""
        until_s = expiry_s(proposal)
        return f"/decide/{proposal.id}/{verb}/{until_s}/{self.signature(proposal.id, verb, until_s)}"

    def links(self, proposal: Proposal, settings: Settings) -> dict[str, str | None]:
        """Return `approve_url` and `deny_url` of a proposal; None where a link is of no use: it is decided already, or its
        approval needs a person who is known by a token not to be the one who asked.
        """
        base = base_url(settings)
        approvable = proposal.kind == "rollback" or not settings.admin.tokens
        return {
            "approve_url": base + self.path(proposal, "approve") if proposal.state == "open" and approvable else None,
            "deny_url": base + self.path(proposal, "deny") if proposal.state == "open" else None,
        }

    def is_ours(self, proposal: Proposal, verb: str, until_s: int, signature: str) -> bool:
        """Whether this link was made here, for this proposal, this verb and this expiry."""
        wanted = self.signature(proposal.id, verb, expiry_s(proposal))
        return hmac.compare_digest(wanted.encode(), signature.encode(errors="replace")) and until_s == expiry_s(
            proposal
        )


def expiry_s(proposal: Proposal) -> int:
    """Return when a proposal expires, in whole seconds of the wall clock, as its links name it."""
    return int(proposal.expires_at)


def base_url(settings: Settings) -> str:
    """Return where people reach the admin API, without a slash at its end."""
    return settings.admin.public_url or settings.admin_listen.url(settings.admin.tls.certificate is not None)


def opened(state_dir: Path, alarms: Alarms) -> ProposalLinks:
    """Return the links of this state directory; make its secret at the first start. What is no secret is moved aside with an
    alarm; where none can be kept, one is used for this start alone, and the alarm says so.
    """
    path = state_dir / SECRET
    try:
        try:
            return ProposalLinks(_read(path))
        except FileNotFoundError:
            pass
        except ValueError as error:
            aside = path.with_suffix(".unusable")
            path.replace(aside)
            alarms.up("links_invalid", f"{path} {error} and was moved to {aside.name}: links sent before are invalid")
        return ProposalLinks(_made(path))
    except OSError as error:
        alarms.up(
            "links_invalid",
            f"{path}: {error.strerror}; links to proposals become invalid with the next start of control",
        )
        return ProposalLinks(secrets.token_bytes(SECRET_BYTES))


def _read(path: Path) -> bytes:
    with os.fdopen(owned_files.opened(path, os.O_RDONLY), "rb") as file:
        os.fchmod(file.fileno(), 0o600)
        size_bytes = os.fstat(file.fileno()).st_size
        secret = file.read(SECRET_BYTES)
    if size_bytes != SECRET_BYTES:
        raise ValueError(f"holds {size_bytes} bytes instead of {SECRET_BYTES}")
    return secret


def _made(path: Path) -> bytes:
    """Write a new secret whole or not at all."""
    secret = secrets.token_bytes(SECRET_BYTES)
    begun = path.with_suffix(".new")
    begun.unlink(missing_ok=True)
    fd = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, secret)
        os.fsync(fd)
    finally:
        os.close(fd)
    begun.replace(path)
    log.info("made %s, which signs links to proposals", path)
    return secret
