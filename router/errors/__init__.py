"""The exceptions of the router, by the party at fault. Only an `UpstreamError` may count towards a rollback.

The codes and their meanings stand in `codes.py`. The numbers stand with the adapters: the HTTP status of a refusal in
`control/admin/problems.py`, the exit code of a command in `runtime/exit_codes.py`.
"""

from __future__ import annotations

from router.errors.codes import CommandCode, RefusalCode, StartCode


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


class Refusal(RouterError):
    """A request of an operator is refused; nothing was changed.

    `facts` are further members of the answer, e.g. the present generation.
    """

    code: RefusalCode

    def __init__(self, code: RefusalCode, detail: str, facts: dict[str, object] | None = None) -> None:
        super().__init__(code, detail)
        self.facts = facts or {}

    @property
    def in_doubt(self) -> bool:
        """Whether something may have been changed after all (JournalUnavailable)."""
        return False


class ProblemError(RouterError):
    """The admin API answered a request with a problem document (RFC 9457); `facts` are its members.

    `status` is the HTTP status. `code` is usually that of a Refusal, and `http_STATUS` if the answer has none (a proxy in between
    made it).
    """

    def __init__(self, status: int, document: dict[str, object]) -> None:
        detail = document.get("detail") or document.get("title") or f"the router answered {status}"
        super().__init__(str(document.get("code", f"http_{status}")), str(detail))
        self.status = status
        self.facts = document


class CommandError(RouterError):
    """A command cannot be run as it was typed, or did not reach its aim. `facts` are members of its document with --json."""

    code: CommandCode

    def __init__(self, code: CommandCode, detail: str, facts: dict[str, object] | None = None) -> None:
        super().__init__(code, detail)
        self.facts = facts or {}


class StartError(RouterError):
    """The router cannot start: bad settings, a port in use, a state directory in use, a corrupt journal."""

    code: StartCode

    def __init__(self, code: StartCode, detail: str) -> None:
        super().__init__(code, detail)


class InternalError(RouterError):
    """A bug or exhaustion of the router itself: counted as `router_fault`, alarmed, never counted against a target."""
