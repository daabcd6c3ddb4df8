"""Every mistake of a file in one answer, with line and column, and none that only follows from another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.settings.loader import load
from router.settings.mistakes import SettingsError
from tests.texts import golden

SERVICE = '[services.{name}]\nactive = {{ version = "v1", endpoints = ["http://h:1"] }}\n'


def found(tmp_path: Path, text: str) -> list[str]:
    """Return LINE:COLUMN and the text of each mistake."""
    file = tmp_path / "router.toml"
    file.write_text(text)
    try:
        load(file)
    except SettingsError as error:
        return [str(mistake).removeprefix(f"{file}:") for mistake in error.mistakes]
    return []


def test_one_of_each_kind_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """wrokers = 2
workers = 0
admin_listen = "0.0.0.0:8081"
proxy_protocol = "required"
[services.b]
replay = "perhaps"
hosts = ["x"]
active = { version = "v1" }
probe = { path = "health", method = "PUT", every_s = "5" }
[services.b.rules.latency]
slo_ms = "250"
[services.c]
hosts = ["x"]
active = { version = "v2", endpoints = ["http://h:1"] }
standby = { version = "v2", endpoints = ["http://h:2"] }
first_byte_timeout_s = -1
[[notify]]
name = "a"
kind = "slack"
timeout_s = 0
url_file = "x"
[[notify]]
name = "a"
kind = "slack"
url_file = "x"
[limits]
body_bytes_max = "1 MB"
fields_max = 3.0
[[alerts.map]]
service = "d"
kind = "quality"
matchers = { a = "b" }
"""
    assert found(tmp_path, text) == golden("settings.every_mistake").splitlines()


@pytest.mark.parametrize(
    ("text", "places"),
    [
        pytest.param(
            f'{SERVICE.format(name="a")}throttled_statuses = ["429", "503"]\nreplay = "perhaps"\n',
            ["3:23", "3:30", "4:1"],
            id="two items of one list hide nothing else in the table",
        ),
        pytest.param(
            '[services.a]\nhosts = [1, 2]\nactive = { version = "v1", endpoints = ["http://h:1"] }\n'
            'standby = { version = "v1", endpoints = ["http://h:2"] }\n',
            ["2:10", "2:13", "4:1"],
            id="nor what is checked when they are gone",
        ),
        pytest.param(
            '[[admin.tokens]]\nname = "a"\nrole = "viewer"\nsha256 = 1\n[services.a]\n'
            'active = { version = "v1", endpoints = ["http://h:1"] }\nstandby = { version = "v1", endpoints = ["http://h:2"] }\n',
            ["4:1", "7:1"],
            id="nor does a member that must be there",
        ),
        pytest.param(
            'admin_listen = "0.0.0.0:8081"\n[[admin.tokens]]\nname = "a"\nrole = "root"\nsha256 = "' + "0" * 64 + '"\n',
            ["4:1"],
            id="a token that is wrong is a token",
        ),
        pytest.param(
            'proxy_protocol = "required"\nproxy_protocol_from = ["10.0.0.1/8"]\n', ["2:1"], id="a wrong network is one"
        ),
        pytest.param(
            '[services.a]\nreplay = 1\n[[alerts.map]]\nservice = "a"\nkind = "quality"\nmatchers = { a = "b" }\n',
            ["2:1"],
            id="a service with a mistake is a service",
        ),
        pytest.param(
            '[[services]]\nname = "a"\n[[alerts.map]]\nservice = "a"\nkind = "quality"\nmatchers = { a = "b" }\n',
            ["1:3"],
            id="services in the wrong form",
        ),
        pytest.param(
            '[services.a]\nhosts = ["h:1"]\n[services.b]\nhosts = ["b"]\n[services.c]\n', ["2:1"], id="a wrong host"
        ),
        pytest.param(
            '[services.a.acceptance]\nlate_share_max = 0.1\n[services.a.rules.latency]\nslo_ms = "5"\n',
            ["4:1"],
            id="a limit that is wrong is set",
        ),
        pytest.param('[services.a]\nactive = { version = "v 1", endpoints = [] }\n', ["2:12", "2:29"], id="both members"),
        pytest.param('[tls]\nkey = "k"\ncertificate = 3\n', ["3:1"], id="a pair with a wrong half"),
    ],
)  # fmt: skip
def test_what_follows_from_a_mistake_is_none(tmp_path: Path, text: str, places: list[str]) -> None:
    assert [line.split(": ")[0] for line in found(tmp_path, text)] == places


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('[service.a]\nhosts = ["x"]\n', "1:2: service: there is no such setting: did you mean [services.NAME]?"),
        ("[services.a]\nhost = ['x']\n", "2:1: services.a.host: there is no such setting: did you mean hosts?"),
        (
            "[services.a]\nendpoint = ['http://h:1']\n",
            "2:1: services.a.endpoint: there is no such setting: did you mean endpoints in [services.a.active] or "
            "[services.a.standby]?",
        ),
        (
            "[services.a.active]\nversion = 'v'\nendpoint = ['http://h:1']\nendpoints = ['http://h:1']\n",
            "3:1: services.a.active.endpoint: there is no such setting: did you mean endpoints?",
        ),
        (
            "[services.a]\nslo_ms = 250\n",
            "2:1: services.a.slo_ms = 250: there is no such setting: it belongs in [services.a.rules.latency]",
        ),
        (
            "[limits]\nworkers = 2\n",
            "2:1: limits.workers = 2: there is no such setting: it belongs in the top of the file, before the first table",
        ),
        ("[services.a.objective]\nx = 1\n", "2:1: services.a.objective.x = 1: there is no such setting: there are: "
         "availability, window_days"),
        ("[logging]\nlevel = 3\n", "1:2: logging: there is no such setting: remove it; docs/reference/settings.md lists all"),
        ("services = []\n", "1:1: services = []: must be a table for each service: write [services.NAME], not [[services]]"),
        ("[[limits]]\nfields_max = 1\n", "1:3: limits: must be a table: write [limits] once, not [[limits]]"),
        ("[notify]\nname = 'a'\n", "1:2: notify: must be a list of tables: write [[notify]]"),
        ("workers = '2'\n", "1:1: workers = '2': must be a number: write 2 without quotes"),
        ("workers = true\n", "1:1: workers = True: must be a number, not true or false"),
        ("via = 1\n", "1:1: via = 1: must be true or false, not a number"),
        ("via = 'no'\n", "1:1: via = 'no': must be true or false: write false without quotes"),
        ("listen_mode = 660\n", '1:1: listen_mode = 660: must be a text in quotes: "…"'),
        ("ready_path = false\n", '1:1: ready_path = False: must be a text in quotes: "…" or \'none\''),
        ("[limits]\nrequests_per_connection_max = '5'\n",
         "2:1: limits.requests_per_connection_max = '5': must be a number: write 5 without quotes"),
        ("[limits]\nbody_rate_min_bytes_per_s = false\n",
         "2:1: limits.body_rate_min_bytes_per_s = False: must be a number, not true or false"),
        ("[services.a.rules.hard_failure]\nburst_windows_s = [1, '2']\n",
         "2:23: services.a.rules.hard_failure.burst_windows_s.1 = '2': must be a number: write 2 without quotes"),
        ("[services.a.rules.hard_failure]\nstreak_span_s = nan\n", ""),
    ],
)  # fmt: skip
def test_remedies(tmp_path: Path, text: str, remedy: str) -> None:
    if remedy:
        assert found(tmp_path, text) == [remedy]


@pytest.mark.parametrize(
    "text",
    [
        "[services.a]\nfirst_byte_timeout_s = 5\n",
        "[limits]\nbody_rate_min_bytes_per_s = 0\nrequests_per_connection_max = 'none'\n",
        "[services.a]\nprobe = 'none'\n",
        "[[services.a.validation.response_label_in]]\npointer = '/a'\nallowed = ['1', 1, 1.5, true]\n",
        "listen = '127.0.0.1:1'\nstate_dir = '/x'\n",
    ],
)
def test_values_of_the_right_kind(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_no_word_of_the_library_is_shown(tmp_path: Path) -> None:
    """Each setting is given a value of a kind that hardly fits: the answer is in words of the settings."""
    from docs.generate.settings_tables import tables

    values = ("-1e99", "true", '"\\u0001"', "[[[]]]", "{ x = 1 }", "1979-05-27", "nan")
    for table in tables():
        place = ".".join("x" if part == "NAME" else part for part in table.place.split(".")) if table.place else ""
        for value in values:
            lines = [f"{setting.name} = {value}" for setting in table.settings]
            header = f"[{place}]" if place else ""
            answers = found(tmp_path, "\n".join([header, *lines]))
            for word in ("Input", "valid ", "Value error", "validation", "pydantic", "instance", "dictionary", "type="):
                assert not [line for line in answers if word in line.replace(".validation", "")], (word, answers)
