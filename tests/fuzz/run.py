"""One target under atheris in this process, which ends with it: `python -m tests.fuzz.run TARGET [options of libFuzzer]`.

Only router.proxy is instrumented: what h11 and the tests do is of no interest to the search.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["router.proxy"]):
    from tests.fuzz.corpus import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]][0])
    atheris.Fuzz()
