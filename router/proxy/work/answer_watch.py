"""Reads a response whose head does not tell whether it is useful. Comes with the content of event streams."""

from __future__ import annotations


class AnswerWatch:
    """The watch of one response."""
