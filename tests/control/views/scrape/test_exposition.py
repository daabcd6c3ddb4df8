"""The choice between the text formats of the metrics by the field Accept."""

from __future__ import annotations

import pytest

from router.control.views.scrape.exposition import OPENMETRICS, PROMETHEUS, Format, negotiated

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param("", PROMETHEUS, id="no field"),
        pytest.param("*/*", PROMETHEUS, id="curl"),
        pytest.param("text/html,application/xhtml+xml,*/*;q=0.8", PROMETHEUS, id="a browser"),
        pytest.param(PROMETHEUS_2_42, OPENMETRICS, id="Prometheus 2.42"),
        pytest.param(PROMETHEUS_3, OPENMETRICS, id="Prometheus 3"),
        pytest.param("application/openmetrics-text", OPENMETRICS, id="without a version"),
        pytest.param("APPLICATION/OpenMetrics-Text ; VERSION=\"1.0.0\"", OPENMETRICS, id="spelt otherwise"),
        pytest.param("application/openmetrics-text;version=0.0.1", PROMETHEUS, id="a version that is not made"),
        pytest.param("application/openmetrics-text;q=0.4,text/plain;q=0.5", PROMETHEUS, id="text is preferred"),
        pytest.param("application/openmetrics-text;q=0.5,text/plain;q=0.5", PROMETHEUS, id="neither is preferred"),
        pytest.param("application/openmetrics-text;q=0.2,text/*;q=0.1", OPENMETRICS, id="a range of a type"),
        pytest.param("application/openmetrics-text;q=0,*/*", PROMETHEUS, id="refused by name"),
        pytest.param("text/plain;q=0,*/*;q=0.5", OPENMETRICS, id="text is refused by name"),
        pytest.param("application/openmetrics-text;version=1.0.0;q=0.1,application/openmetrics-text,text/plain;q=0.5",
                     PROMETHEUS, id="the precise range counts"),
        pytest.param("application/openmetrics-text;q=1.5", PROMETHEUS, id="a malformed weight"),
        pytest.param("application/json", PROMETHEUS, id="neither is accepted"),
        pytest.param(",;,;;q=,=,q", PROMETHEUS, id="malformed"),
    ],
)  # fmt: skip
def test_the_format_that_accept_prefers(accept: str, expected: Format) -> None:
    assert negotiated(accept).content_type == expected.content_type
