"""The list of generated files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from docs.generate import (
    alarms_page,
    cli_page,
    errors_page,
    example_file,
    exit_codes_page,
    grafana_dashboard,
    http_api_page,
    metrics_page,
    settings_page,
    settings_schema,
    state_diagram,
)

ROOT: Final = Path(__file__).parent.parent.parent


PAGES: Final[dict[str, Callable[[], str]]] = {
    "deploy/grafana/rollback-router.json": grafana_dashboard.text,
    "deploy/router.example.toml": example_file.text,
    "deploy/router.schema.json": settings_schema.text,
    "docs/reference/alarms.md": alarms_page.text,
    "docs/reference/cli.md": cli_page.text,
    "docs/reference/errors.md": errors_page.text,
    "docs/reference/exit-codes.md": exit_codes_page.text,
    "docs/reference/http-api.md": http_api_page.text,
    "docs/reference/metrics.md": metrics_page.text,
    "docs/reference/settings.md": settings_page.text,
    **{f"docs/{name}": partial(state_diagram.page, name) for name in state_diagram.PAGES},
}
"""What makes the text of each generated file, by its path in the project."""


def pages() -> dict[str, str]:
    """Return the text of each generated file by its path in the project."""
    return {name: text() for name, text in PAGES.items()}
