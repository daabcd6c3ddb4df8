"""Schemas of the two kinds of the Prometheus operator that the chart makes.

Written by hand from the operator's reference (API monitoring.coreos.com/v1), and only of the members that the chart uses: any
other member is refused here, also one that the operator knows. The definitions of the operator itself could not be had.
"""

from __future__ import annotations

from typing import Any, Final


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_TEXT: Final = {"type": "string", "minLength": 1}
_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION: Final = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
    "minLength": 1,
}
_METADATA: Final = _object({"name": _TEXT, "namespace": _TEXT, "labels": _TEXTS})
_ALERT: Final = _object(
    {"alert": _TEXT, "expr": _TEXT},
    {"for": _DURATION, "keep_firing_for": _DURATION, "labels": _TEXTS, "annotations": _TEXTS},
)
_RECORD: Final = _object({"record": _TEXT, "expr": _TEXT}, {"labels": _TEXTS})
_GROUP: Final = _object({"name": _TEXT, "rules": _list({"oneOf": [_ALERT, _RECORD]})}, {"interval": _DURATION})
_RELABELING: Final = _object(
    {},
    {
        "action": _TEXT,
        "sourceLabels": _list(_TEXT),
        "separator": {"type": "string"},
        "regex": _TEXT,
        "targetLabel": _TEXT,
        "replacement": {"type": "string"},
        "modulus": {"type": "integer"},
    },
)
_ENDPOINT: Final = _object(
    {
        "port": _TEXT,
        "path": _TEXT,
        "interval": _DURATION,
        "authorization": _object({"credentials": _object({"name": _TEXT, "key": _TEXT})}),
    },
    {"scrapeTimeout": _DURATION, "relabelings": _list(_RELABELING), "metricRelabelings": _list(_RELABELING)},
)


def _kind(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    members = {"apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"const": name}}
    return _object(members | {"metadata": _METADATA, "spec": spec})


SCHEMAS: Final = {
    "PrometheusRule": _kind("PrometheusRule", _object({"groups": _list(_GROUP)})),
    "ServiceMonitor": _kind(
        "ServiceMonitor",
        _object({"jobLabel": _TEXT, "selector": _object({"matchLabels": _TEXTS}), "endpoints": _list(_ENDPOINT)}),
    ),
}
"""Kind → JSON Schema of the whole object."""
