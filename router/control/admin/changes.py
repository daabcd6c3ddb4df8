"""The routes that change a service: deploy, promote, rollback, switch, retire, endpoints, freeze, unfreeze.

The body of a verb makes its event (bodies.py), and one handler passes the event on.
"""

from __future__ import annotations

from typing import Final

from router.control.addon import Document
from router.control.admin import bodies
from router.control.admin.bodies import ChangeBody, ChangeQuery
from router.control.admin.operation import Call, Operation
from router.control.core.answers import ChangeAnswer, DeployAnswer
from router.control.store.records.earlier_changes import EarlierChange


async def change(call: Call) -> Document:
    """Make the change that the body requests of the service that the path or the body names."""
    assert isinstance(call.body, ChangeBody)
    event = call.body.event(call.principal, call.version if "version" in call.request.match_info else "")
    return await call.operations.change(call.service, event, call.preconditions, dry_run=call.dry_run, key=call.key)


def repeated(call: Call, change: EarlierChange) -> Document:
    """Return the answer to a request that has made this change before the start of control."""
    return call.operations.repeated(change)


def verb(
    name: str,
    method: str,
    path: str,
    body: type[ChangeBody],
    summary: str,
    *,
    status: int = 200,
    answer: type = ChangeAnswer,
) -> Operation:
    """Return the route of a verb; `name` is its operation id."""
    return Operation(
        *(method, path, change, summary, "operator", body, ChangeQuery, status),
        repeated=repeated,
        name=name,
        answer=answer,
    )


_SERVICE: Final = "/v1/services/{service}"
_ENDPOINTS: Final = f"{_SERVICE}/versions/{{version:.+}}/endpoints"

OPERATIONS: Final = (
    verb("deployVersion", "POST", f"{_SERVICE}/deploy", bodies.Deploy,
         "Bring a version in as candidate and verify it", status=202, answer=DeployAnswer),
    verb("promoteVersion", "POST", f"{_SERVICE}/promote", bodies.Promote, "Make the candidate active"),
    verb("rollBackService", "POST", f"{_SERVICE}/rollback", bodies.RollbackBody,
         "Go back to the standby and quarantine the active version"),
    verb("switchVersion", "POST", f"{_SERVICE}/switch", bodies.Switch, "Make a named version active"),
    verb("retireVersion", "POST", f"{_SERVICE}/retire", bodies.Retire, "Take a version out"),
    verb("setEndpoints", "PUT", _ENDPOINTS, bodies.MoveEndpoints, "Move the replicas of a version"),
    verb("freezeAutomation", "POST", f"{_SERVICE}/freeze", bodies.Freeze, "Disable automation"),
    verb("unfreezeAutomation", "POST", f"{_SERVICE}/unfreeze", bodies.Unfreeze, "Enable automation"),
)  # fmt: skip
