"""Reason phrases of HTTP statuses. Those of Python's `http` differ between its versions."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

REASON_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""Status → phrase (RFC 9110 §15). Python has the four of RFC 9110 from 3.13 on."""
