"""Prepares the compose file's first start: makes a token, and the router's settings that have its SHA-256.

Runs once in a container of its own: python setup.py TEMPLATE FOLDER. A token that is there stays.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path


def main(template: Path, folder: Path) -> None:
    """Write FOLDER/token and FOLDER/router.toml; print the token."""
    os.umask(0o022)
    file = folder / "token"
    if not file.exists():
        file.write_text(secrets.token_urlsafe(24))
    token = file.read_text()
    settings = template.read_text().replace("SHA256_OF_THE_TOKEN", hashlib.sha256(token.encode()).hexdigest())
    (folder / "router.toml").write_text(settings)
    sys.stdout.write(f"dashboard: http://localhost:8081   token: {token}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
