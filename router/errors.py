"""The exceptions of the router, by the party at fault. Only an `UpstreamError` may count towards a rollback."""

from __future__ import annotations


class RouterError(Exception):
    """Root of the tree; never raised itself.

    `code` is for programs (stable, snake_case). `detail` is a message: it names the value, the place and the remedy.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class DownstreamError(RouterError):
    """The client sent something that the router refuses; `status` is that of the response before the connection closes."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.status = status


class UpstreamError(RouterError):
    """The target broke the protocol or the connection."""


class OperatorError(RouterError):
    """A request of an operator is refused; nothing was changed.

    `status` is that of the admin API's response (RFC 9110 §15), `exit_code` that of the command line (README lists them).
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
        """Whether something may have been changed after all (JournalUnavailable)."""
        return False


class StartError(RouterError):
    """The router cannot start: bad settings, a port in use, a state directory in use, a corrupt journal."""

    def __init__(self, code: str, detail: str, exit_code: int) -> None:
        super().__init__(code, detail)
        self.exit_code = exit_code


class InternalError(RouterError):
    """A bug or exhaustion of the router itself: counted as `router_fault`, alarmed, never counted against a target."""
