"""Front door: the command `rollback-router`, also as `python -m router`."""

from __future__ import annotations

import sys

from router.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
