"""Finds the error object in a decoded answer whose status says that it is well.

{"error": {"code": 503, "message": "…", "type": "server_error"}}     OpenAI, vLLM, TGI, Ollama (a text), Google
{"type": "error", "error": {"type": "overloaded_error"}}             Anthropic, OpenAI responses
{"object": "error", "code": 400, "message": "…"}                     older vLLM
{"type": "response.failed", "response": {"error": {…}}}              OpenAI responses
{"choices": [{"finish_reason": "error"}]}                            OpenRouter
{"type": "message-end", "delta": {"finish_reason": "ERROR"}}         Cohere
"""

from __future__ import annotations

from typing import Any, Final

_RESULT_KEYS: Final = (
    "choices", "content", "output", "outputs", "data", "predictions", "candidates", "response", "results", "embeddings",
)  # fmt: skip


def find(document: Any) -> Any:
    """Return the error in a decoded JSON value; None if it holds none."""
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if error and not isinstance(error, float) and (type(error) is not int or 400 <= error < 600):
        return error  # a number is what a model measures
    kind = document.get("type")
    if kind == "error" or document.get("object") == "error":
        return document
    if kind == "response.failed":
        response = document.get("response")
        return (response.get("error") if isinstance(response, dict) else None) or document
    choices = document.get("choices")
    for part in choices if isinstance(choices, list) else (document.get("delta"),):
        if isinstance(part, dict) and str(part.get("finish_reason")).lower() == "error":
            return part.get("error") or "finish_reason is error"
    return None


def is_alone(document: dict[str, Any]) -> bool:
    """Return whether an answer with an error in it holds nothing else that a client asked for."""
    return not isinstance(document.get("message"), dict) and not any(document.get(key) for key in _RESULT_KEYS)
