"""The verbs as operators send them: the members become the body of the route, and the body makes the event."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, Final

from pydantic import ValidationError

from router.control.admin import bodies, problems
from router.control.admin.auth import LOCAL
from router.control.core.executor import ANYTHING, Preconditions
from router.control.core.operations import Operations
from router.rollout.model.events import Override

BODIES: Final[dict[str, type[bodies.ChangeBody]]] = {
    "deploy": bodies.Deploy,
    "promote": bodies.Promote,
    "rollback": bodies.RollbackBody,
    "switch": bodies.Switch,
    "retire": bodies.Retire,
    "set_endpoints": bodies.MoveEndpoints,
    "freeze": bodies.Freeze,
    "unfreeze": bodies.Unfreeze,
    "quarantine": bodies.QuarantineBody,
    "release": bodies.Release,
    "register": bodies.Register,
}


class Verbs:
    """`Operations` with a method for each verb, for example `await verbs.promote(service="svc", version="v2", actor="ann")`."""

    def __init__(self, operations: Operations) -> None:
        self.change = operations.change
        self.models = operations.models
        self.earlier = operations.earlier
        self.repeated = operations.repeated

    def __getattr__(self, verb: str) -> Callable[..., Coroutine[Any, Any, dict[str, Any]]]:
        """Return the function that sends `verb`."""
        model = BODIES[verb]

        async def send(
            *,
            service: str,
            preconditions: Preconditions = ANYTHING,
            dry_run: bool = False,
            override: Override | None = None,
            **members: Any,
        ) -> dict[str, Any]:
            version = "" if "version" in model.model_fields else members.pop("version", "")
            members |= {"override": asdict(override)} if override is not None else {}
            members |= {"endpoints": members["endpoints"] or None} if "endpoints" in members else {}
            if verb in ("quarantine", "release"):
                members.setdefault("reason", "for a test")
            try:
                event = model.model_validate(members).event(LOCAL, version)
            except ValidationError as error:
                raise problems.from_validation(error, "body") from None
            return await self.change(service, event, preconditions, dry_run=dry_run)

        return send
