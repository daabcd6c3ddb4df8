from __future__ import annotations

import hashlib
import json
from pathlib import Path

from router.settings.loader import load
from router.settings.shown import differences, shown

SECRET = "s3cr3t-of-ann"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()
FULL = f"""
[[admin.tokens]]
name = "ci"
role = "operator"
sha256 = "{HASH}"
[alerts]
tokens = [{{ name = "am", sha256 = "{HASH}" }}]
hmac_secret_file = "/run/secrets/hmac"
[mlflow]
tracking_uri = "http://mlflow:5000"
user = "ann"
secret_file = "/run/secrets/mlflow"
[[notify]]
name = "ops"
kind = "slack"
proxy = "http://ann:{SECRET}@proxy:3128"
url = "https://hooks.example.com/T0/{SECRET}"
[[notify]]
name = "mail"
kind = "apprise"
url = "mailto://ann:{SECRET}@example.com?pass={SECRET}"
[[notify]]
name = "hook"
kind = "webhook"
url_file = "/run/secrets/url"
hmac_secret_file = "/run/secrets/hmac"
[services.fraud]
active = {{ version = "v1", endpoints = ["http://a:1"], headers_file = "/run/secrets/headers" }}
probe = {{ method = "POST", path = "/infer", body = '{{"api_key": "{SECRET}"}}', expect_text = "score" }}
[services.fraud.cases]
headers = ["accept", "x-tenant"]
"""


def test_no_secret_of_a_full_configuration_is_shown(tmp_path: Path) -> None:
    (tmp_path / "router.toml").write_text(FULL)
    document = shown(load(tmp_path / "router.toml"))
    text = json.dumps(document)
    assert SECRET not in text
    assert HASH not in text
    assert document["services"]["fraud"]["probe"]["body"] == "(hidden)"
    assert [channel["url"] for channel in document["notify"]] == ["(hidden)", "(hidden)", None]
    assert document["notify"][0]["proxy"] == "http://(hidden)@proxy:3128"
    # The twins: names, paths of secrets and lists of field names are no secrets.
    assert document["admin"]["tokens"][0]["name"] == "ci"
    assert document["mlflow"]["secret_file"] == "/run/secrets/mlflow"
    assert document["services"]["fraud"]["active"]["headers_file"] == "/run/secrets/headers"
    assert document["services"]["fraud"]["cases"]["headers"] == ["accept", "x-tenant"]
    assert document["services"]["fraud"]["probe"]["expect_text"] == "score"


def test_differences_name_the_place_and_both_values() -> None:
    one = {"a": 1, "services": {"x": {"hosts": ["h"]}, "y": {}}, "same": {"b": None}}
    other = {"a": 2, "services": {"x": {"hosts": []}}, "same": {"b": None}}
    assert list(differences(one, other)) == [
        ("a", 1, 2), ("services.x.hosts", ["h"], []), ("services.y", {}, None),
    ]  # fmt: skip
    assert list(differences(one, one)) == []
