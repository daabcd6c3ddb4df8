"""The settings of a worker as plain values, read from the settings document. `settings/loader.py` has validated them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from router.runtime.logs import LogFormat
from router.shm import settings_memory
from router.shm.settings_memory import Place
from router.tls import contexts, kept_files
from router.tls.contexts import BackendTls, ServerTls
from router.tls.kept_files import KeptFiles
from router.uri import authority


@dataclass(frozen=True, slots=True)
class TapOptions:
    """How many bytes of a request's and of a response's body are kept until the exchange has ended; 0 keeps none."""

    request_bytes_max: int = 0
    response_bytes_max: int = 0


@dataclass(frozen=True, slots=True)
class ValidationOptions:
    """The rules for bodies (settings/sections/validation.py); schemas are JSON, labels are (pointer, allowed)."""

    methods: frozenset[bytes] = frozenset((b"POST",))
    paths: tuple[bytes, ...] = ()
    request_schema: str | None = None
    request_bytes_max: int = 256 * 1024
    request_bytes_held_max: int = 64 << 20
    response_not_empty: bool = False
    response_json: bool = False
    response_schema: str | None = None
    response_finite: tuple[str, ...] = ()
    response_label_in: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    response_share: float = 1.0
    response_bytes_max: int = 256 * 1024
    stream_end: str | None = None


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How many request bodies a second are sampled for control, and up to which size."""

    samples_per_s: float
    body_bytes_max: int


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """Path patterns of requests that run the model, and of those that do not (rollout/work_paths.py); `stream_preamble` are
    events of event streams that are no content.
    """

    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()
    stream_preamble: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """One service as the data plane sees it; durations in seconds.

    `place` is its number in shared memory, None: its number in `Options.services`. `added`: the router got it while it ran.
    """

    name: str
    hosts: frozenset[bytes]
    path_prefix: bytes
    replay: str
    served_version_header: bool
    first_byte_timeout_s: float
    idle_timeout_s: float
    hang_wait_min_s: float
    backend_tls: BackendTls = field(default_factory=BackendTls)
    tap: TapOptions = TapOptions()
    captured_headers: frozenset[bytes] | None = None
    """Names, in lower case, of the fields that are kept of a failed request; None: failed requests are not kept."""
    validation: ValidationOptions = ValidationOptions()
    inputs: InputOptions | None = None
    inference: InferenceOptions = InferenceOptions()
    throttled_statuses: frozenset[int] = frozenset((429, 529))
    throttled_texts: tuple[bytes, ...] = (b"queue", b"overloaded", b"capacity")
    """A 503 that holds one of these in its first 256 bytes, in any case, means that the version is busy."""
    rescue_on: frozenset[str] = frozenset(("connect", "timeout", "broken", "5xx"))
    place: int | None = None
    added: bool = False


@dataclass(frozen=True, slots=True)
class ForwardingOptions:
    """Which peers may name the client of a request; networks as CIDR or `unix`."""

    trusted: tuple[str, ...] = ()
    keep: frozenset[str] = frozenset(("for", "proto", "host", "port"))
    forwarded: bool = False
    hops_max: int = 32


@dataclass(frozen=True, slots=True)
class ProxyProtocolOptions:
    """Whether connections begin with a PROXY header, which networks may send one, and its greatest size (version 2)."""

    required: bool = False
    allowed_senders: tuple[str, ...] = ()
    header_bytes_max: int = 4096


@dataclass(frozen=True, slots=True)
class TracingOptions:
    """Where spans go, under which name, and how many requests may wait for that."""

    collector: str
    service_name: str
    queue_max: int


@dataclass(frozen=True, slots=True)
class Options:
    """Everything a worker needs; sizes in bytes, durations in seconds. `number` is that of the settings document."""

    services: tuple[ServiceOptions, ...]
    ready_path: bytes | None
    access_log: bool
    via: bool
    head_bytes_max: int
    fields_max: int
    passes_max: int
    body_bytes_max: int
    trailer_bytes_max: int
    connections_max: int
    connections_per_client_max: float
    requests_per_connection_max: int
    requests_max: int
    in_flight_max: int
    connect_waits_max: int
    buffer_bytes: int
    replay_bytes_max: int
    interim_responses_max: int
    body_rate_min_bytes_per_s: int
    write_rate_min_bytes_per_s: int
    header_timeout_s: float
    body_timeout_s: float
    write_timeout_s: float
    body_rate_grace_s: float
    write_rate_grace_s: float
    keepalive_idle_s: float
    half_close_grace_s: float
    tunnel_idle_s: float
    connection_age_max_s: float
    connect_timeout_s: float
    upstream_idle_s: float
    shutdown_timeout_s: float
    shutdown_idle_s: float
    resolve_every_s: float
    control_silent_s: float
    forwarding: ForwardingOptions = ForwardingOptions()
    proxy_protocol: ProxyProtocolOptions = ProxyProtocolOptions()
    tls: ServerTls | None = None
    tls_handshake_timeout_s: float = 10.0
    certificates_every_s: float = 5.0
    attempts_max: int = 4
    rescue_in_flight_max: int = 64
    refuse_lookalikes: bool = False
    access_log_to: str = "stderr"
    log_format: LogFormat = "text"
    tracing: TracingOptions | None = None
    number: int = 0


def from_document(
    document: dict[str, Any], kept: KeptFiles | None = None, places: Mapping[str, Place] = MappingProxyType({})
) -> Options:
    """Return the options in settings (`loader.dump`); `kept` are copies of TLS files, `places` those of the services."""
    kept = kept or {}
    limits, timeouts = document["limits"], document["timeouts"]
    ready = document["ready_path"]
    return Options(
        services=_services(document["services"], timeouts, kept, places),
        ready_path=None if ready == "none" else ready.encode(),
        access_log=document["access_log"],
        access_log_to=document["access_log_to"],
        log_format=document["log_format"],
        tracing=_tracing(document["tracing"]),
        via=document["via"],
        refuse_lookalikes=document["lookalike_fields"] == "refuse",
        forwarding=_forwarding(document["forwarding"]),
        proxy_protocol=ProxyProtocolOptions(
            document["proxy_protocol"] == "required",
            tuple(document["proxy_protocol_from"]),
            limits["proxy_header_bytes_max"],
        ),
        tls=contexts.server_of(document["tls"], kept.get(kept_files.LISTEN)),
        tunnel_idle_s=_or_never(timeouts["tunnel_idle_s"]),
        connection_age_max_s=_or_never(timeouts["connection_age_max_s"]),
        connections_per_client_max=_or_never(limits["connections_per_client_max"]),
        head_bytes_max=limits["head_bytes_max"],
        fields_max=limits["fields_max"],
        passes_max=limits["passes_max"],
        body_bytes_max=limits["body_bytes_max"],
        trailer_bytes_max=limits["trailer_bytes_max"],
        connections_max=limits["connections_max"],
        requests_per_connection_max=_or_zero(limits["requests_per_connection_max"]),
        requests_max=limits["requests_max"],
        in_flight_max=limits["in_flight_max"],
        connect_waits_max=limits["connect_waits_max"],
        buffer_bytes=limits["buffer_bytes"],
        replay_bytes_max=limits["replay_bytes_max"],
        attempts_max=limits["attempts_max"],
        rescue_in_flight_max=limits["rescue_in_flight_max"],
        interim_responses_max=limits["interim_responses_max"],
        body_rate_min_bytes_per_s=_or_zero(limits["body_rate_min_bytes_per_s"]),
        write_rate_min_bytes_per_s=_or_zero(limits["write_rate_min_bytes_per_s"]),
        header_timeout_s=timeouts["header_timeout_s"],
        body_timeout_s=timeouts["body_timeout_s"],
        write_timeout_s=timeouts["write_timeout_s"],
        body_rate_grace_s=timeouts["body_rate_grace_s"],
        write_rate_grace_s=timeouts["write_rate_grace_s"],
        keepalive_idle_s=timeouts["keepalive_idle_s"],
        half_close_grace_s=timeouts["half_close_grace_s"],
        connect_timeout_s=timeouts["connect_timeout_s"],
        upstream_idle_s=timeouts["upstream_idle_s"],
        shutdown_timeout_s=timeouts["shutdown_timeout_s"],
        shutdown_idle_s=timeouts["shutdown_idle_s"],
        resolve_every_s=timeouts["resolve_every_s"],
        control_silent_s=timeouts["control_silent_s"],
        tls_handshake_timeout_s=timeouts["tls_handshake_timeout_s"],
        certificates_every_s=timeouts["certificates_every_s"],
    )


def _tracing(document: dict[str, Any]) -> TracingOptions | None:
    return TracingOptions(**document) if document["collector"] is not None else None


def _forwarding(section: dict[str, Any]) -> ForwardingOptions:
    return ForwardingOptions(
        trusted=tuple(section["trusted"]),
        keep=frozenset(section["keep"]),
        forwarded=section["forwarded"] == "append",
        hops_max=section["hops_max"],
    )


def _or_zero(value: int | str) -> int:
    return 0 if isinstance(value, str) else value


def _or_never(value: float | str) -> float:
    return math.inf if isinstance(value, str) else value


def _services(
    sections: dict[str, dict[str, Any]], timeouts: dict[str, Any], kept: KeptFiles, places: Mapping[str, Place]
) -> tuple[ServiceOptions, ...]:
    return tuple(_service(name, sections[name], timeouts, kept, places.get(name)) for name in sorted(sections))


def _service(
    name: str, section: dict[str, Any], timeouts: dict[str, Any], kept: KeptFiles, place: Place | None
) -> ServiceOptions:
    return ServiceOptions(
        place=place.number if place is not None else None,
        added=place is not None and place.since_ns > 0,
        name=name,
        hosts=frozenset(found for host in section["hosts"] if (found := authority.host_of(host.encode())) is not None),
        path_prefix=section["path_prefix"].encode(),
        replay=section["replay"],
        served_version_header=section["served_version_header"],
        first_byte_timeout_s=section["first_byte_timeout_s"] or timeouts["first_byte_timeout_s"],
        idle_timeout_s=section["idle_timeout_s"] or timeouts["idle_timeout_s"],
        hang_wait_min_s=section["rules"]["hard_failure"]["hang_wait_min_s"],
        backend_tls=contexts.backend_of(section["backend_tls"], kept.get(kept_files.backend_place(name))),
        tap=_tap_options(section["cases"]),
        captured_headers=_captured_headers(section["cases"]),
        validation=_validation(section["validation"]),
        inputs=_inputs(section["inputs"]),
        inference=_inference(section["inference"]),
        throttled_statuses=frozenset(section["throttled_statuses"]),
        throttled_texts=tuple(text.lower().encode() for text in section["throttled_texts"]),
        rescue_on=frozenset(section["rescue_on"]),
    )


def _inference(section: dict[str, Any]) -> InferenceOptions:
    preamble = frozenset(text.encode() for text in section["stream_preamble"])
    return InferenceOptions(tuple(section["paths"]), tuple(section["not_paths"]), preamble)


def _inputs(section: dict[str, Any]) -> InputOptions | None:
    if not section["fields"] and not section["learn_fields"]:
        return None
    return InputOptions(section["samples_per_s"], section["body_bytes_max"])


def _validation(section: dict[str, Any]) -> ValidationOptions:
    return ValidationOptions(
        request_schema=section["request_schema"],
        request_bytes_max=section["request_bytes_max"],
        request_bytes_held_max=section["request_bytes_held_max"],
        response_not_empty=section["response_not_empty"],
        response_json=section["response_json"],
        response_schema=section["response_schema"],
        response_share=section["response_share"],
        response_bytes_max=section["response_bytes_max"],
        stream_end=section["stream_end"],
        methods=frozenset(method.encode() for method in section["methods"]),
        paths=tuple(path.encode() for path in section["paths"]),
        response_finite=tuple(section["response_finite"]),
        response_label_in=tuple((rule["pointer"], tuple(rule["allowed"])) for rule in section["response_label_in"]),
    )


def _tap_options(cases: dict[str, Any]) -> TapOptions:
    kept_bytes_max = cases["body_bytes_max"] if cases["capture"] and cases["bodies"] else 0
    return TapOptions(kept_bytes_max, kept_bytes_max)


def _captured_headers(cases: dict[str, Any]) -> frozenset[bytes] | None:
    return frozenset(name.encode() for name in cases["headers"]) if cases["capture"] else None


def from_descriptor(fd: int, kept: KeptFiles | None = None) -> Options:
    """Return the options in the settings document behind `fd`; `kept` are copies of TLS files."""
    delivery = settings_memory.decode(settings_memory.read(fd))
    return replace(from_document(json.loads(delivery.settings), kept, delivery.places), number=delivery.number)
