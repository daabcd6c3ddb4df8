"""The review of an incident by operators: status, severity, owner, root cause, actions, comments.

An edit by an operator is a document; all members but the first are optional:

    member          meaning
    edit            a unique id, so that an entry that is applied twice counts once
    set             {status, severity, owner, root_cause}
    add_actions     [{id, kind, what, owner, due}]; an id is never used again
    change_actions  [{id, state, owner, due}]; only changed members
    comment         a text

    status    next status
    open      reviewed
    reviewed  closed, open
    closed    open
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.incidents import IncidentEdited

MOVES: Final = {"open": ("reviewed",), "reviewed": ("closed", "open"), "closed": ("open",)}
ACTIONS_MAX: Final = 50
COMMENTS_MAX: Final = 100
REVISIONS_MAX: Final = 500
"""Edits of one incident; the journal keeps all."""
_SEEN_MAX: Final = 1000
Edit = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Review:
    """The review of one incident; None: not set. `at` and `actor` are those of the last edit."""

    revision: int = 0
    status: str = "open"
    severity: str | None = None
    owner: str | None = None
    root_cause: str | None = None
    actions: tuple[dict[str, Any], ...] = ()
    comments: tuple[dict[str, Any], ...] = ()
    at: float | None = None
    actor: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def checked(self, incident: str, edit: Edit) -> IncidentEdited:
        """Return the fact of `edit`, with revision and ids; raise Refusal if it is refused."""
        status = edit.get("set", {}).get("status")
        if status is not None and status != self.status and status not in MOVES[self.status]:
            todo = " or ".join(MOVES[self.status])
            raise Refusal(RefusalCode.INCIDENT_STATUS, f"the incident is {self.status}; from there it becomes {todo}")
        if self.revision >= REVISIONS_MAX:
            raise Refusal(
                RefusalCode.INCIDENT_FULL, f"the incident was edited {REVISIONS_MAX} times, which is the limit"
            )
        if len(self.actions) + len(edit.get("add_actions", ())) > ACTIONS_MAX:
            raise Refusal(RefusalCode.INCIDENT_FULL, f"an incident has at most {ACTIONS_MAX} actions")
        if edit.get("comment") and len(self.comments) >= COMMENTS_MAX:
            raise Refusal(RefusalCode.INCIDENT_FULL, f"an incident has at most {COMMENTS_MAX} comments")
        known = [action["id"] for action in self.actions]
        for change in edit.get("change_actions", ()):
            if change["id"] not in known:
                listed = ", ".join(known) or "none"
                raise Refusal(RefusalCode.ACTION_UNKNOWN, f"there is no action {change['id']!r}; there are: {listed}")
        added = [
            {**action, "id": f"a{number}"}
            for number, action in enumerate(edit.get("add_actions", ()), len(self.actions) + 1)
        ]
        members = {**edit, "incident": incident, "revision": self.revision + 1}
        return IncidentEdited.from_data(members | ({"add_actions": added} if added else {}))

    def edited(self, edit: IncidentEdited, actor: str, at: float) -> Review:
        """Return the review after an edit that `checked` has returned."""
        changed = {change["id"]: change for change in edit.change_actions}
        actions = [{**action, **changed.get(action["id"], {})} for action in self.actions]
        actions += [{"state": "open", **action} for action in edit.add_actions]
        comments = self.comments
        if edit.comment:
            comments = (*comments, {"at": at, "actor": actor, "text": edit.comment})
        return replace(
            self,
            **(edit.changes or {}),
            revision=self.revision + 1,
            actions=tuple(actions),
            comments=comments,
            at=at,
            actor=actor,
        )


class Reviews:
    """The reviews of all incidents: the fold of the entries that edit them."""

    def __init__(self) -> None:
        self._reviews: dict[str, Review] = {}
        self._seen: deque[str] = deque(maxlen=_SEEN_MAX)

    def of(self, incident: str) -> Review:
        """Return the review of an incident; an empty one without edits."""
        return self._reviews.get(incident, _NOTHING)

    def apply(self, entry: Entry) -> None:
        """Apply an entry; other entry types and repeated edits have no effect."""
        fact = entry.fact
        if not isinstance(fact, IncidentEdited) or fact.edit in self._seen:
            return
        self._seen.append(fact.edit)
        self._reviews[fact.incident] = self.of(fact.incident).edited(fact, entry.actor, entry.at)

    def with_root_cause(self) -> set[str]:
        """Return the incidents with a root cause."""
        return {incident for incident, review in self._reviews.items() if review.root_cause}


_NOTHING: Final = Review()
