"""Reads the webhooks of other systems alert by alert: Alertmanager (also Mimir, Cortex), Grafana, Prometheus, vmalert.

Theory. The alerts of one webhook have nothing to do with each other, so an alert that cannot be read never takes others with
it: the text is decoded value by value, each alert becomes a `RawAlert` or an `UnreadableAlert`, and the alerts before the place
where a text ends or is no JSON are taken. Members that are not needed are ignored with any value. Members that a
sender may leave out, or write as null, have defaults. Numbers and booleans in place of texts are texts.

Three forms are known:

    {"alerts": […]}                       webhook of Alertmanager (version 4) and Grafana (version 1); `status` says what is over
    […]                                   Prometheus and vmalert, POST /api/v2/alerts; `endsAt` says what is over
    {"ruleName": …, "state": "alerting"}  dashboard alert of Grafana before 8.0: one alert, its labels are `tags`

Sources: Alertmanager `notify/webhook/webhook.go` and `template/template.go`; its OpenAPI document of version 2; Grafana
`alerting/receivers/webhook`, and "Webhook" in the manual of Grafana 7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from json.decoder import JSONDecodeError
from typing import Any, Final, cast

from router.control.admin import json_text, problems
from router.control.alerts.bodies import clamped_seconds, digest, with_zone
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.alerts.alert import TEXT_CHARS_MAX, RawAlert, Status
from router.runtime.printable import printable

ALERTS_MAX: Final = 10_000
"""Alerts that are read of one webhook: each of those that are not known is a value in the answer."""
FIELD_CHARS_MAX: Final = 8192
"""Longer texts of labels and annotations are cut before anything is done with them."""
FINGERPRINT_CHARS_MAX: Final = 128
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_FINGERPRINT: Final = re.compile(rf"[!-~]{{1,{FINGERPRINT_CHARS_MAX}}}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SUMMARIES: Final = ("summary", "description", "message")
_NO_TIME_YEAR: Final = 1
"""Go writes a time that is not set as 0001-01-01T00:00:00Z."""
_STATES: Final[Mapping[str, Status]] = {"alerting": "firing", "ok": "resolved"}
_STATE_NAMES: Final = ("alerting", "ok", "no_data", "paused", "pending", "unknown")


@dataclass(frozen=True, slots=True)
class UnreadableAlert:
    """An alert of a webhook that cannot be read. `fingerprint` and `name` are empty if it has none."""

    code: RefusalCode
    detail: str
    fingerprint: str = ""
    name: str = ""


@dataclass(slots=True)
class Webhook:
    """The alerts of a webhook, in its order. `truncated`: how many its sender has left out, by its own count.

    `problem`: the text ends early or is no JSON; `alerts` are those before that place. `group` names the group, for messages.
    """

    alerts: list[RawAlert | UnreadableAlert] = field(default_factory=list)
    truncated: int = 0
    group: str = ""
    problem: Refusal | None = None


class _RepeatedName(dict[str, Any]):
    """An object in which a name is repeated: parsers differ on what it means."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _RepeatedName(made)


# Numbers stay texts, as they were written: no alert needs one as a number, and none can be too long, or be no number (NaN).
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str, strict=False
)


def read_webhook(raw: bytes) -> Webhook:
    """Return the alerts of a webhook; `problem` of the result is a refusal if the text cannot be read to its end."""
    reader = _Reader()
    try:
        reader.read(json_text.decoded_leniently(raw))
        problem = None
    except RecursionError:
        problem = _invalid(reader.place, "is nested too deeply")
    except JSONDecodeError as error:
        problem = _invalid(reader.place, f"is no JSON: {error.msg} at line {error.lineno} column {error.colno}")
    except Refusal as refusal:
        problem = refusal
    top = reader.top
    if problem is None and not reader.is_webhook:
        if "ruleName" in top or "ruleId" in top:
            return Webhook([_one(_of_dashboard, top, top, "body")])
        problem = _invalid("body.alerts", "is missing: a webhook has the list `alerts`")
    found = Webhook(problem=problem, truncated=_count(top.get("truncatedAlerts")), group=_text(top.get("groupKey")))
    for number, item in enumerate(reader.items):
        place = f"body.{number}" if reader.is_list else f"body.alerts.{number}"
        found.alerts.append(_one(_of_item, item, top, place))
    return found


class _Reader:
    """Decodes a text value by value, so that the values before a damage are known. `place` names the value that is read."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.top: dict[str, Any] = {}
        self.is_list = False
        self.is_webhook = False
        self.place = "body"

    def read(self, text: str) -> None:
        """Raise JSONDecodeError, RecursionError or Refusal at the first value that cannot be decoded."""
        at = _skip(text, 0)
        if text.startswith("[", at):
            self.is_list = self.is_webhook = True
            at = self._items(text, at, "body")
        elif text.startswith("{", at):
            at = self._members(text, at)
        else:
            _DECODER.raw_decode(text, at)
            raise _invalid("body", "is no webhook: it is an object with the list `alerts`, or a list of alerts")
        self.place = "body"
        if (at := _skip(text, at)) != len(text):
            raise JSONDecodeError("Extra data", text, at)

    def _members(self, text: str, at: int) -> int:
        at = _skip(text, at + 1)
        if text.startswith("}", at):
            return at + 1
        while True:
            if not text.startswith('"', at):
                raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
            name, at = _DECODER.raw_decode(text, at)
            self.place = f"body.{name}"
            at = _skip(text, _expect(text, at, ":"))
            if name == "alerts":
                at = self._alerts(text, at)
            else:
                self.top[name], at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            if text.startswith("}", at):
                return at + 1
            at = _skip(text, _expect(text, at, ","))

    def _alerts(self, text: str, at: int) -> int:
        if self.is_webhook:
            self.items.clear()  # parsers differ on which of the two lists counts
            raise problems.wrong(RefusalCode.MEMBER_REPEATED, "body.alerts", "the member is given more than once")
        self.is_webhook = True
        if text.startswith("[", at):
            return self._items(text, at, "body.alerts")
        value, at = _DECODER.raw_decode(text, at)
        if value is not None:  # Go writes an empty list as null
            raise _invalid("body.alerts", "is no list")
        return at

    def _items(self, text: str, at: int, place: str) -> int:
        at = _skip(text, at + 1)
        if text.startswith("]", at):
            return at + 1
        while True:
            self.place = f"{place}.{len(self.items)}"
            if len(self.items) == ALERTS_MAX:
                raise Refusal(
                    RefusalCode.TOO_MANY_ALERTS,
                    f"{place}: only the first {ALERTS_MAX} alerts of a request are read: set max_alerts of the sender",
                )
            value, at = _DECODER.raw_decode(text, at)
            self.items.append(value)
            at = _skip(text, at)
            if text.startswith("]", at):
                return at + 1
            at = _skip(text, _expect(text, at, ","))


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _expect(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise JSONDecodeError(f"Expecting {mark!r} delimiter", text, at)
    return at + 1


# -- one alert
def _one(read: Any, item: Any, top: Mapping[str, Any], place: str) -> RawAlert | UnreadableAlert:
    try:
        return cast(RawAlert, read(item, top, place))
    except RecursionError:
        return UnreadableAlert(RefusalCode.REQUEST_INVALID, f"{place}: a value is nested too deeply")
    except Refusal as refusal:
        known = item if isinstance(item, dict) else {}
        labels = known.get("labels")
        name = labels.get("alertname") if isinstance(labels, dict) else None
        shown = (problems.shown(_text(text), FINGERPRINT_CHARS_MAX) for text in (known.get("fingerprint"), name))
        return UnreadableAlert(refusal.code, refusal.detail, *shown)


def _of_item(item: Any, top: Mapping[str, Any], place: str) -> RawAlert:
    """Return one alert of a list; raise Refusal that names what is wrong with it."""
    if not isinstance(item, dict):
        raise _invalid(place, f"is {_kind(item)}: an alert is an object with `labels`")
    cut: list[str] = []
    given = item.get("labels")
    labels = _texts(top.get("commonLabels") if given is None else given, f"{place}.labels", "labels", cut)
    notes = item.get("annotations")
    annotations = _texts(notes, f"{place}.annotations", "annotations", cut) if isinstance(notes, dict) else {}
    if isinstance(notes, str):
        annotations = {"summary": _shortened(notes, "annotations", cut)}
    named = next((name for name in _SUMMARIES if annotations.get(name)), "")
    summary = annotations.get(named, "")
    if len(summary) > TEXT_CHARS_MAX:
        cut.append(f"annotations.{named}" if isinstance(notes, dict) else "annotations")
    start = _at(item.get("startsAt"), f"{place}.startsAt")
    return RawAlert(
        fingerprint=_fingerprint(item.get("fingerprint"), labels),
        status=_status(item, top, place),
        starts_at=None if start is None else clamped_seconds(start),
        labels=labels,
        summary=summary,
        renews=start is None,
        cut=tuple(dict.fromkeys(cut)),
    )


def _of_dashboard(item: Any, top: Mapping[str, Any], place: str) -> RawAlert:
    """Return a dashboard alert of Grafana before 8.0. It has no start: it begins when it first arrives."""
    cut: list[str] = []
    labels = _texts(item.get("tags"), f"{place}.tags", "tags", cut)
    rule = _shortened(_text(item.get("ruleName")), "ruleName", cut)
    labels.setdefault("alertname", rule)
    state = _text(item.get("state")).lower()
    if state not in _STATE_NAMES:
        raise _invalid(f"{place}.state", f"is {state[:64]!r}: it is one of {', '.join(_STATE_NAMES)}")
    if state not in _STATES:
        raise Refusal(RefusalCode.UNMAPPED, f"{place}.state is {state}: only alerting and ok are signals")
    summary = _shortened(_text(item.get("message")) or _text(item.get("title")), "message", cut)
    identity = [_text(item.get(name)) for name in ("orgId", "dashboardId", "panelId", "ruleId", "ruleName")]
    return RawAlert(digest(*identity), _STATES[state], None, labels, summary, renews=True, cut=tuple(cut))


def _status(item: Mapping[str, Any], top: Mapping[str, Any], place: str) -> Status:
    """Return the status of an alert: its own, else that of its webhook, else whether its end has passed."""
    whole = _text(top.get("status"))  # if it is resolved all alerts are; if it is firing, one of them may be over
    for text in (item.get("status"), None if item.get("endsAt") and whole.lower() != "resolved" else whole):
        if text is None or text == "":
            continue
        status = _text(text).lower()
        if status in ("firing", "resolved"):
            return cast(Status, status)
        raise _invalid(f"{place}.status", f"is {_text(text)[:64]!r}: it is firing or resolved")
    end = _at(item.get("endsAt"), f"{place}.endsAt")
    return "resolved" if end is not None and end <= datetime.now(end.tzinfo) else "firing"


def _at(value: Any, place: str) -> datetime | None:
    """Return a time; None if it is not set."""
    if value is None or value == "":
        return None
    try:
        at = with_zone(value if type(value) is str else _text(value))
    except ValueError as error:
        raise _invalid(place, str(error)) from None
    return None if at.year == _NO_TIME_YEAR else at


def _fingerprint(value: Any, labels: Mapping[str, str]) -> str:
    """Return the fingerprint; if the sender gives none, one of the labels, which are what identifies an alert."""
    text = _text(value)
    if not text:
        return digest(json.dumps(sorted(labels.items())))
    return text if _FINGERPRINT.fullmatch(text) else digest(text)


def _texts(value: Any, place: str, member: str, cut: list[str]) -> dict[str, str]:
    """Return an object as names and texts; add the names of texts that were cut to `cut`. An empty text is as good as none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid(place, f"is {_kind(value)}: it is an object of names and texts")
    if isinstance(value, _RepeatedName) and member != "annotations":  # they identify nothing: the last one counts
        raise problems.wrong(RefusalCode.MEMBER_REPEATED, place, "a name is given more than once")
    return {_clean(name): _shortened(_text(text), f"{member}.{name}", cut) for name, text in value.items()}


def _shortened(text: str, name: str, cut: list[str]) -> str:
    if len(text) <= FIELD_CHARS_MAX:
        return text
    cut.append(problems.shown(name))
    return text[: FIELD_CHARS_MAX - 1] + "…"


def _text(value: Any) -> str:
    """Return a value of JSON as a text: "" for null, the JSON of a list or an object."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _clean(value)
    return _clean(json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    """Return `text` with U+FFFD for halves of surrogate pairs and for bytes that are no UTF-8."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _count(value: Any) -> int:
    """Return the number of alerts that the sender left out; 0 if it is no number."""
    text = _text(value).removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _kind(value: Any) -> str:
    """Return what a value of JSON is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "a text or a number"


def _invalid(place: str, problem: str) -> Refusal:
    return problems.wrong(RefusalCode.REQUEST_INVALID, place, printable(problem))
