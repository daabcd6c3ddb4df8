"""What `[services.NAME.validation]` may hold: schemas become their text, and whatever cannot be used is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from router.errors import StartError
from router.settings import loader
from router.settings import settings as settings_settings
from router.settings.sections.validation import SCHEMA_BYTES_MAX, ValidationSettings

SCHEMA = '{"type": "object", "required": ["inputs"]}'


def loaded(**section: Any) -> settings_settings.Settings:
    return loader.load(None, {"services": {"fraud": {"validation": section}}})


def test_a_file_becomes_its_text_which_every_process_is_told(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(f"\n{SCHEMA}\n")
    settings = loaded(request_schema=str(path), response_schema=SCHEMA)
    path.unlink()

    values = loader.parse(loader.dump(settings)).services["fraud"].validation
    assert (values.request_schema, values.response_schema) == (SCHEMA, SCHEMA)


def test_labels_keep_their_kinds() -> None:
    rule = {"pointer": "/label", "allowed": ["1", 1, 1.5, True]}
    values = loader.parse(loader.dump(loaded(response_label_in=[rule]))).services["fraud"].validation
    assert [type(value) for value in values.response_label_in[0].allowed] == [str, int, float, bool]


@pytest.mark.parametrize(
    ("section", "says"),
    [
        pytest.param({"request_schema": "/nowhere/x.json"}, "cannot be read: No such file or directory", id="no file"),
        pytest.param({"request_schema": "/proc"}, "cannot be read: Is a directory", id="a directory"),
        pytest.param({"response_schema": '{"type": "objekt"}'}, "is no usable JSON Schema: .* at /type", id="schema"),
        pytest.param({"request_schema": "{"}, "is no JSON: ", id="JSON"),
        pytest.param(
            {"response_finite": ["outputs"]}, "'outputs' is no JSON pointer: write /outputs/0/data", id="pointer"
        ),
        pytest.param(
            {"response_label_in": [{"pointer": "label", "allowed": ["a"]}]}, "'label' is no JSON pointer", id="label"
        ),
        pytest.param({"response_label_in": [{"pointer": "/label", "allowed": []}]}, "at least 1 item", id="no label"),
        pytest.param({"response_share": 0}, "more than 0", id="share"),
        pytest.param({"response_share": 1.5}, "at most 1", id="share above one"),
        pytest.param({"paths": ["v1"]}, "'v1' must begin with /", id="path"),
        pytest.param({"methods": ["BREW"]}, "must be 'POST'", id="method"),
        pytest.param({"stream_end": "a\nb"}, "must match the regular expression", id="stream end"),
        pytest.param(
            {"request_bytes_max": 2, "request_bytes_held_max": 1}, "exceeds request_bytes_held_max", id="held"
        ),
        pytest.param({"response_bytes_max": 1 << 25}, "at most 16777216", id="too large a look"),
        pytest.param({"schema": "x"}, "there is no such setting", id="unknown"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(section: dict[str, Any], says: str) -> None:
    with pytest.raises(StartError, match=rf"services\.fraud\.validation.*{says}"):
        loaded(**section)


def test_a_schema_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"title": "' + "x" * SCHEMA_BYTES_MAX + '"}')
    with pytest.raises(StartError, match=f"a schema at most {SCHEMA_BYTES_MAX}"):
        loaded(request_schema=str(path))


def test_a_file_that_is_no_text_is_no_schema(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(b"{\xff}")
    with pytest.raises(StartError, match="is not UTF-8"):
        loaded(request_schema=str(path))


def test_without_the_extra_only_schemas_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    assert loaded(response_finite=[""]).services["fraud"].validation.response_finite == [""]
    with pytest.raises(StartError, match=r'request_schema.*needs the extra "schema": pip install'):
        loaded(request_schema=SCHEMA)


def test_nothing_is_checked_by_default() -> None:
    off = ValidationSettings()
    assert (off.request_schema, off.response_schema, off.stream_end) == (None, None, None)
    assert (off.response_json, off.response_not_empty, off.response_finite, off.response_label_in) == (
        False,
        False,
        [],
        [],
    )
