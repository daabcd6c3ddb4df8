"""Header fields without which a body cannot be read. They are kept with the body of a captured request or response.

The list is closed and each entry has its reason, because a field that is kept reaches the disk. Settings may add fields
(`cases.headers`), but none with credentials (`NEVER_KEPT`). Fields of the connection (Content-Length, Transfer-Encoding,
Expect, TE) are made anew when a case is sent.
"""

from __future__ import annotations

from typing import Final

BODY_FIELDS: Final[dict[str, str]] = {
    "content-type": "RFC 9110 §8.3: the format, the charset, the boundary of a multipart body",
    "content-encoding": "RFC 9110 §8.4: the compression",
    "content-range": "RFC 9110 §14.4: the part of the representation that a PUT contains",
    "inference-header-content-length": "KServe and Triton, binary tensors: where JSON ends and tensors begin",
    "grpc-encoding": "gRPC-Web: the compression of the messages",
    "x-grpc-web": "gRPC-Web: servers tell it from gRPC by this field",
    "connect-protocol-version": "Connect: servers may require it",
    "connect-content-encoding": "Connect: the compression of the messages of a stream",
    "x-amz-target": "AWS JSON: the operation whose input the body is",
    "x-amzn-sagemaker-target-model": "SageMaker: the model of a multi-model endpoint whose input the body is",
    "serve_multiplexed_model_id": "Ray Serve: the model whose input the body is",
    "seldon-model": "Seldon Core 2: the model whose input the body is",
    "anthropic-version": "Anthropic: the version of the format; required",
    "anthropic-beta": "Anthropic: extensions of the format",
    "openai-beta": "OpenAI: extensions of the format",
}
"""Lower-case names, and why a body cannot be read without the field."""

EVENT_PREFIX: Final = "ce-"
"""CloudEvents, HTTP binding, binary mode: the event's attributes are fields, and the body is only its data. KServe takes such
requests. Attributes hold no secrets: senders must not put them there (CloudEvents 1.0, "Privacy and Security").
"""

LISTS: Final = frozenset(("content-encoding", "connect-content-encoding", "anthropic-beta", "openai-beta"))
"""Body fields that are lists: several lines are the same as one with commas (RFC 9110 §5.3). Others are ambiguous if repeated."""

DIGESTS: Final = frozenset(("content-md5", "digest", "content-digest", "repr-digest", "x-amz-content-sha256"))
"""Fields that a change of the body makes wrong. A body that was redacted goes without them."""

FIELDS_MAX: Final = 32
"""Body fields of one message that are kept. A message with more is not kept whole."""


def is_body_field(name: str) -> bool:
    """Return whether a body cannot be read without the field `name` (lower case)."""
    return name in BODY_FIELDS or name.startswith(EVENT_PREFIX)
