"""What the validators of a service say of an answer to a case: the rules that hold in the path hold here, too."""

from __future__ import annotations

from router.rollout import pointer
from router.rollout.cases.case import Answer, Case
from router.rollout.quality.schema import Schema
from router.rollout.quality.stream_end import StreamEnd
from router.rollout.quality.validator import AnswerRules, answer_complaint, labels
from router.sections.validation import Validation

_BODILESS = (204, 205, 206)


class Validity:
    """Made of the section `validation`; a schema is compiled here, once. Raises ValueError if it cannot be."""

    def __init__(self, section: Validation) -> None:
        self._methods = frozenset(section.methods)
        self._paths = tuple(path.rstrip("/") for path in section.paths)
        self._end = section.stream_end
        self._rules = AnswerRules(
            section.response_not_empty,
            section.response_json,
            Schema(section.response_schema) if section.response_schema else None,
            tuple(map(pointer.parse, section.response_finite)),
            tuple(labels(rule.pointer, list(rule.allowed)) for rule in section.response_label_in),
        )

    def complaint(self, case: Case, answer: Answer) -> str | None:
        """Return what is wrong with a complete 2xx; None if nothing is, or if nobody looks at such answers."""
        if answer.error or not answer.complete or not self._covers(case, answer):
            return None
        if answer.content_type == "text/event-stream":
            if self._end is None:
                return None
            stream = StreamEnd(self._end)
            stream.feed(answer.body)
            found = stream.complaint()
        else:
            found = answer_complaint(self._rules, answer.body)
        return str(found) if found is not None else None

    def _covers(self, case: Case, answer: Answer) -> bool:
        if case.request.method not in self._methods or not 200 <= answer.status < 300 or answer.status in _BODILESS:
            return False
        path = case.request.target.partition("?")[0]
        return not self._paths or any(path == prefix or path.startswith(f"{prefix}/") for prefix in self._paths)
