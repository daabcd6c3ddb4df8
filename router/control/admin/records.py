"""What was: the journal."""

from __future__ import annotations

from typing import Final

from router.control.admin.bodies import JournalQuery
from router.control.admin.operation import Call, Operation
from router.control.verbs import Document


async def journal(call: Call) -> Document:
    """Entries after a sequence number, oldest first."""
    query = call.queried(JournalQuery)
    return await call.verbs.view.journal(after=query.after, limit=query.limit, service=query.service)


OPERATIONS: Final = (Operation("GET", "/v1/journal", journal, "Journal entries, oldest first", query=JournalQuery),)
