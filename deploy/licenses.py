"""Write the licences of what is installed in some virtual environments, from its own metadata: `deploy/lock` calls it.

python licenses.py FILE ENVIRONMENT…
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

CLASSIFIERS: Final = {
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: BSD License": "BSD-3-Clause",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "OSI Approved :: ISC License (ISCL)": "ISC",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
SPELLINGS: Final = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "mit": "MIT",
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mpl-2.0": "MPL-2.0",
    "psf-2.0": "PSF-2.0",
    "isc": "ISC",
    "bsd": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
}
HEAD: Final = """# Licences of the locked packages

Written by `bash deploy/lock` from each package's own metadata: `requirements-extras.lock` and `requirements-build.lock`
together (`requirements.lock` is a part of the first). All of them may be used by software under the Apache License 2.0.

| package | version | licence (SPDX) | where it says so |
|---|---|---|---|
"""


def license_of(found: Distribution) -> tuple[str, str]:
    """Return (SPDX expression, the field that names it); `?` if none does."""
    metadata = found.metadata
    if metadata["License-Expression"]:
        return metadata["License-Expression"], "License-Expression"
    text = (metadata["License"] or "").strip()
    if text.lower() in SPELLINGS and text.lower() != "bsd":
        return SPELLINGS[text.lower()], "License"
    named = [CLASSIFIERS.get(value.removeprefix("License :: ")) for value in metadata.get_all("Classifier") or ()]
    known = sorted({name for name in named if name})
    if known:
        return " AND ".join(known), "Classifier"
    return SPELLINGS.get(text.lower(), "?"), "License"


def name_of(found: Distribution) -> str:
    """Return its name as package indexes normalise it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()


def locked() -> set[tuple[str, str]]:
    """Return (name, version) of everything in the lock files beside this one."""
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.glob("*.lock")]
    return {found for text in texts for found in re.findall(r"^([a-z0-9\-]+)==([^ ;]+)", text, re.MULTILINE)}


def rows(environments: list[Path]) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, version, licence, field) of each package."""
    for environment in environments:
        for packages in environment.glob("lib/python3*/site-packages"):
            for found in distributions(path=[str(packages)]):
                yield (name_of(found), found.version, *license_of(found))


def main(file: str, *environments: str) -> int:
    """Write the file; return 1 if a licence is not known, or a locked package is not installed."""
    wanted = locked()
    found = sorted({row for row in rows([Path(environment) for environment in environments]) if row[:2] in wanted})
    Path(file).write_text(HEAD + "".join(f"| {' | '.join(row)} |\n" for row in found), "utf-8")
    unknown = [f"{name} {version}" for name, version, license_, _ in found if license_ == "?"]
    if unknown:
        sys.stderr.write(f"licence not known, look it up and teach deploy/licenses.py: {', '.join(unknown)}\n")
    missing = [f"{name} {version}" for name, version in sorted(wanted - {row[:2] for row in found})]
    if missing:
        sys.stderr.write(f"locked and not installed: {', '.join(missing)}\n")
    return 1 if unknown or missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
