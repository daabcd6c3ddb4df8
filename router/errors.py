"""Every exception we raise, by whose fault it is. Only an `UpstreamError` may count towards a rollback."""

from __future__ import annotations


class RouterError(Exception):
    """Root of the tree; never raised itself.

    `code` is for machines (stable, snake_case), `detail` for people: it names the value, the place and the remedy.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class DownstreamError(RouterError):
    """The client sent something we refuse; `status` is what it is answered before the connection is closed."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.status = status


class UpstreamError(RouterError):
    """The target broke the protocol or the connection."""


class OperatorError(RouterError):
    """A person asked for something that is refused; nothing was changed.

    `status` is the answer of the admin API (RFC 9110 §15), `exit_code` that of the command line (README lists them).
    `facts` are further members of the problem document, e.g. the present generation.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, exit_code: int = 1, facts: dict[str, object] | None = None
    ) -> None:
        super().__init__(code, detail)
        self.status = status
        self.exit_code = exit_code
        self.facts = facts or {}

    @property
    def in_doubt(self) -> bool:
        """Whether it may have been changed after all (JournalUnavailable)."""
        return False


class StartError(RouterError):
    """The router cannot start: bad settings, a port in use, a state directory in use, a corrupt journal."""

    def __init__(self, code: str, detail: str, exit_code: int) -> None:
        super().__init__(code, detail)
        self.exit_code = exit_code


class InternalError(RouterError):
    """Our own bug or exhaustion: counted as `router_fault`, alarmed, never scored against a target."""
