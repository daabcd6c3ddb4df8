"""The documents of proposals, as the admin API returns them."""

from __future__ import annotations

from typing_extensions import TypedDict

from router.control.core.answers import ChangeAnswer
from router.control.views.addon_answers import ProposalDocument


class ProposalsList(TypedDict):
    """Proposals, newest first."""

    proposals: list[ProposalDocument]


class DecisionAnswer(ChangeAnswer):
    """The change, and the proposal after it."""

    proposal: ProposalDocument
