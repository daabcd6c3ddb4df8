"""The command: write the generated files, or compare them with the code."""

from __future__ import annotations

import sys

from docs.generate.pages import ROOT, pages


def main(arguments: list[str]) -> int:
    """Write every file that differs; with --check name it instead, and return 1 if there is one."""
    stale = {name: text for name, text in pages().items() if not _is_current(name, text)}
    for name, text in stale.items():
        if arguments == ["--check"]:
            print(f"{name} is stale: run python -m docs.generate")
        else:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(text)
            print(f"wrote {name}")
    return int(bool(stale) and arguments == ["--check"])


def _is_current(name: str, text: str) -> bool:
    path = ROOT / name
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
