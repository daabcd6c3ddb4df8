"""The list of generated files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from docs.generate import example_file, settings_page, settings_schema, state_diagram

ROOT: Final = Path(__file__).parent.parent.parent


def pages() -> dict[str, str]:
    """Return the text of each generated file by its path in the project."""
    return {
        "deploy/router.example.toml": example_file.text(),
        "deploy/router.schema.json": settings_schema.text(),
        "docs/reference/settings.md": settings_page.text(),
        **state_diagram.pages(),
    }
