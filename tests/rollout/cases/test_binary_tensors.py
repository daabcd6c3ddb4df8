from __future__ import annotations

from typing import Any

import pytest

from router.rollout.cases.binary_tensors import data_may_be_kept
from router.rollout.cases.redaction import redaction

NUMBERS = {"inputs": [{"name": "a", "datatype": "FP32"}, {"name": "b", "datatype": "INT64"}]}
TEXTS = {"inputs": [{"name": "a", "datatype": "BYTES"}]}


@pytest.mark.parametrize(
    ("paths", "patterns", "document", "kept"),
    [
        pytest.param([], ["x"], NUMBERS, True, id="numbers are no text"),
        pytest.param([], ["x"], TEXTS, False, id="texts would have to be searched"),
        pytest.param([], ["x"], {"inputs": [{"datatype": "UINT8"}]}, False, id="8-bit numbers may be text"),
        pytest.param(["/id"], [], TEXTS, True, id="a path to something else"),
        pytest.param(["/inputs/*/parameters/user"], [], TEXTS, True, id="a path beside the data"),
        pytest.param(["/**/email"], [], NUMBERS, True, id="a path that may be anywhere, but is no data"),
        pytest.param(["/inputs/0/data"], [], TEXTS, False, id="the data"),
        pytest.param(["/inputs/1/data"], [], TEXTS, True, id="the data of another tensor"),
        pytest.param(["/inputs/*"], [], NUMBERS, False, id="around the data"),
        pytest.param(["/**/data"], [], NUMBERS, False, id="the data at any depth"),
        pytest.param([""], [], NUMBERS, False, id="everything"),
        pytest.param(["/outputs/*/data"], [], {"outputs": [{"datatype": "FP32"}]}, False, id="of an answer"),
        pytest.param(["/x"], [], {"inputs": [7]}, False, id="no tensor"),
        pytest.param(["/x"], [], {"inputs": {}}, False, id="no tensors"),
        pytest.param(["/x"], [], [], False, id="no request"),
    ],
)
def test_binary_data_is_kept_if_no_rule_would_look_at_it(
    paths: list[str], patterns: list[str], document: Any, kept: bool
) -> None:
    assert data_may_be_kept(redaction(paths, patterns, []), document) is kept
