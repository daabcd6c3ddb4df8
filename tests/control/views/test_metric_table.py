"""The table of metrics: each row is used, and a family has the row's type and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from router.control.views.metric_table import METRICS, counter, gauge, histogram

ROUTER: Final = Path(__file__).parent.parent.parent.parent / "router"


def test_every_metric_of_the_table_is_exposed() -> None:
    text = "".join(path.read_text() for path in ROUTER.rglob("*.py") if path.name != "metric_table.py")
    shown = {name for name in METRICS if f'"{name}"' in text or f'"{name.removesuffix("_seconds")}"' in text}
    assert set(METRICS) - shown == set()


def test_a_family_has_the_type_and_the_labels_of_its_row() -> None:
    family = counter("requests")
    assert (family.name, family.type) == ("rollback_router_requests", "counter")
    family.add_metric(["fraud", "v1", "active", "ok"], 3)
    assert family.samples[0].labels == {"service": "fraud", "version": "v1", "role": "active", "outcome": "ok"}
    assert histogram("switch_swap_seconds").type == "histogram"


def test_another_type_or_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        gauge("requests")
    with pytest.raises(KeyError):
        gauge("request")
