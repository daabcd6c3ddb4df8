"""Entry point: the command `rollback-router`, also as `python -m router`."""

from __future__ import annotations

import sys

from router.runtime import interpreter

interpreter.forget_working_directory(as_module=__name__ == "__main__")

from router.cli.app import main  # noqa: E402 (no other import is safe while the working directory is on sys.path)

if __name__ == "__main__":
    sys.exit(main())
