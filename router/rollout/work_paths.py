"""Path templates, the names of work buckets, and which of them are inference (docs/behaviour/judging.md).

A dead engine often sits behind a live API server, so requests that need no engine must not count as work. Which requests are
cheap is known for the common model servers (CHEAP_PATHS); `[services.NAME.inference]` adds to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

PATH_CHARS_MAX: Final = 1024
"""The rest of a longer path is ignored. The client chooses it, and to match all patterns with 8,000 characters takes 30 ms."""
CHEAP_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that are no inference, unless `[services.NAME.inference] paths` says so."""
CHEAP_PATHS: Final = (
    # state of the server
    "health", "healthz", "livez", "readyz", "ready", "live", "ping", "version", "metrics", "stats", "v2/health/*",
    "v2/models/*/ready", "v2/models/*/versions/*/ready", "v2/models/*/config", "v2/models/*/stats", "v2/logging",
    "v2/trace/setting", "v2/models/*/trace/setting", "v2/systemsharedmemory/**", "v2/cudasharedmemory/**",
    "props", "slots/*", "server_info", "get_server_info", "get_model_info", "is_sleeping", "api/show", "api/ps", "api/tags",
    # text to tokens, templates
    "tokenize", "detokenize", "tokenizer_info", "count_tokens", "input_tokens", "apply-template", "chat_template", "render",
    # models, adapters, weights
    "v2/repository/**", "models/load", "models/unload", "api/pull", "api/push", "api/create", "api/copy", "api/delete",
    "api/blobs/*", "load_lora_adapter", "unload_lora_adapter", "lora-adapters", "lora_adapters", "adapters", "adapters/load",
    "adapters/unload", "update_weights", "update_weights_from_disk", "update_weights_from_distributed",
    "update_weights_from_tensor", "init_weights_update_group", "destroy_weights_update_group", "reload",
    # the engine's own switches
    "sleep", "wake_up", "wake-up", "wakeup", "pause", "resume", "pause_generation", "continue_generation",
    "release_memory_occupation", "resume_memory_occupation", "flush_cache", "reset_prefix_cache", "reset_mm_cache",
    "reset_encoder_cache", "start_profile", "stop_profile", "collective_rpc", "scale_elastic_ep", "configure_logging",
    "abort", "abort_request", "abort_requests", "cancel",
    # what is stored, reported or fetched
    "feedback", "v1/files/**", "v1/files", "v1/uploads/**", "v1/uploads", "v1/batches/**", "v1/batches",
    # gRPC
    "grpc.health.v1.Health/*", "grpc.reflection.v1.ServerReflection/*", "grpc.reflection.v1alpha.ServerReflection/*",
    "inference.GRPCInferenceService/ServerLive", "inference.GRPCInferenceService/ServerReady",
    "inference.GRPCInferenceService/ServerMetadata", "inference.GRPCInferenceService/ModelReady",
    "inference.GRPCInferenceService/ModelMetadata", "inference.GRPCInferenceService/ModelConfig",
    "inference.GRPCInferenceService/ModelStatistics", "inference.GRPCInferenceService/RepositoryIndex",
    "inference.GRPCInferenceService/RepositoryModelLoad", "inference.GRPCInferenceService/RepositoryModelUnload",
    "tensorflow.serving.PredictionService/GetModelMetadata", "tensorflow.serving.ModelService/*",
)  # fmt: skip
"""Paths of common model servers that need no engine. A pattern matches the last segments of a path; `*` is one segment, `**` at
the end is one or more.
"""

_PROTOCOL_PATHS: Final = ("/chat/completions", "/completions", "/responses", "/messages")
_ANSWER_PATHS: Final = (
    *_PROTOCOL_PATHS, "/embeddings", "/rerank", "/api/chat", "/api/generate", "/api/embed", "/v1/chat", "/v2/chat",
    "/completion", "/generate", "/generate_stream", "/infer", ":predict", ":generateContent", ":streamGenerateContent",
)  # fmt: skip
_VARIABLE: Final = re.compile(
    r"[0-9]+|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)
_PATTERN: Final = re.compile(r"/?[!-)+-.0->@-~]+(?:/(?:\*|[!-)+-.0->@-~]+))*(?:/\*\*)?/?|/(?:\*\*)?")


def path_template(path: str) -> str:
    """Return the path with `*` for each segment of digits, UUID, or hexadecimal number of 16 digits and more."""
    return "/".join("*" if _VARIABLE.fullmatch(segment) else segment for segment in path.split("/"))


def bucket_name(method: str, path: str) -> str:
    """Return the name of a work bucket: `POST /v1/models/*/infer`. `path` has no query."""
    return f"{method} {path_template(path[:PATH_CHARS_MAX])}"


def is_protocol_path(path: str) -> bool:
    """Return whether answers to this path have the form of OpenAI or Anthropic."""
    return path.rstrip("/").endswith(_PROTOCOL_PATHS)


def has_known_answers(path: str) -> bool:
    """Return whether answers to this path have a known form: also of Ollama, Cohere, Google, KServe, Triton, TGI or llama.cpp."""
    return path.rstrip("/").endswith(_ANSWER_PATHS)


def check_pattern(pattern: str) -> str:
    """Return a pattern of `[services.NAME.inference]`; raise ValueError with the remedy if it is none."""
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{pattern!r} is no path pattern: write /v1/embeddings, /v1/models/*/infer or /internal/** "
            "(without a query; * is one segment, ** at the end is the rest)"
        )
    return pattern


def _expression(pattern: str) -> str:
    """Return a pattern as an expression on templates. With a leading slash it begins where the path begins."""
    body = path_template(pattern.strip("/"))
    rest = body.endswith("**")
    segments = [part for part in body.removesuffix("**").split("/") if part]
    text = "/".join("[^/]+" if part == "*" else re.escape(part) for part in segments)
    start = "/" if pattern.startswith("/") else "(?:/|.*/)"
    return start + text + (("/" if text else "") + ".+" if rest else "/?")


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(_expression(pattern) for pattern in patterns) or "(?!)")


_CHEAP: Final = _compiled(CHEAP_PATHS)


class InferenceRules:
    """Which work buckets are inference: `paths` are, with any method; `not_paths` are not, and win."""

    def __init__(self, paths: Iterable[str] = (), not_paths: Iterable[str] = ()) -> None:
        self._paths = _compiled(paths)
        self._not_paths = _compiled(not_paths)

    def is_inference(self, name: str) -> bool:
        """Return whether requests of the bucket with this name run the model."""
        method, _, path = name.partition(" ")
        if self._not_paths.fullmatch(path):
            return False
        if self._paths.fullmatch(path):
            return True
        return method not in CHEAP_METHODS and not _CHEAP.fullmatch(path)
