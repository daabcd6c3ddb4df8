"""Signed links that decide a proposal without a token: valid for one proposal, one verb, until its expiry, once.

The signature is an HMAC-SHA256 over these three with a secret of this state directory. A link gives the right to decide, so it
must be sent only to operators with that right. It works once because a proposal is decided once. If the secret is lost,
or removed on purpose, all links become invalid; the next start creates a new secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from router.control.monitors.alarms import Alarms
from router.rollout.proposals.proposal import Proposal
from router.runtime import secret_file
from router.runtime.secret_file import SECRET_BYTES
from router.settings.settings import Settings

SECRET: Final = "proposal-links.key"
VERBS: Final = ("approve", "deny")


class ProposalLinks:
    """Signs links and verifies their signatures."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def signature(self, proposal_id: str, verb: str, until_s: int) -> str:
        """Return the signature of a link in hexadecimal digits."""
        message = f"rollback-router decide 1\n{proposal_id}\n{verb}\n{until_s}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def path(self, proposal: Proposal, verb: str) -> str:
        """Return the path of the link on the admin port."""
        until_s = expiry_s(proposal)
        return f"/decide/{proposal.id}/{verb}/{until_s}/{self.signature(proposal.id, verb, until_s)}"

    def links(self, proposal: Proposal, settings: Settings) -> dict[str, str | None]:
        """Return `approve_url` and `deny_url` of a proposal.

        A URL is None if the proposal is decided, or if its approval needs a second person, authenticated by a token.
        """
        base = base_url(settings)
        approvable = proposal.kind == "rollback" or settings.admin.is_open
        return {
            "approve_url": base + self.path(proposal, "approve") if proposal.state == "open" and approvable else None,
            "deny_url": base + self.path(proposal, "deny") if proposal.state == "open" else None,
        }

    def verify(self, proposal: Proposal, verb: str, until_s: int, signature: str) -> bool:
        """Return whether the signature is ours for this proposal, verb and expiry."""
        expected = self.signature(proposal.id, verb, expiry_s(proposal))
        return hmac.compare_digest(expected.encode(), signature.encode(errors="replace")) and until_s == expiry_s(
            proposal
        )


def expiry_s(proposal: Proposal) -> int:
    """Return when a proposal expires, in whole seconds of wall time, as in its links."""
    return int(proposal.expires_at)


def base_url(settings: Settings) -> str:
    """Return the public base URL of the admin API, without a slash at its end."""
    return settings.admin.public_url or settings.admin_listen.url(settings.admin.tls.certificate is not None)


def opened(state_dir: Path, alarms: Alarms) -> ProposalLinks:
    """Return the links of this state directory; create its secret at the first start.

    An invalid secret is moved aside with an alarm. If no secret can be written, a temporary one is used, with an alarm.
    """
    path = state_dir / SECRET
    try:
        try:
            return ProposalLinks(secret_file.read(path))
        except FileNotFoundError:
            pass
        except ValueError as error:
            aside = path.with_suffix(".unusable")
            path.replace(aside)
            alarms.up("links_invalid", f"{path} {error} and was moved to {aside.name}: links sent before are invalid")
        return ProposalLinks(secret_file.create(path, "links to proposals"))
    except OSError as error:
        alarms.up(
            "links_invalid",
            f"{path}: {error.strerror}; links to proposals become invalid with the next start of control",
        )
        return ProposalLinks(secrets.token_bytes(SECRET_BYTES))
