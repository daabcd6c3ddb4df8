"""The modules of the data plane know each other; whichever is asked for first, all of them load, compiled as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import router.proxy

ROOT = Path(router.proxy.__path__[0])
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.rglob("[a-z]*.py"))
EACH_FIRST = """
import asyncio, importlib, os, sys, httptools, orjson, uvloop
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        importlib.import_module(f"router.proxy.{name}")
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(f"cannot be imported first: {failed}" if failed else 0)
"""


def test_each_may_be_imported_first() -> None:
    assert len(MODULES) > 20
    done = subprocess.run([sys.executable, "-c", EACH_FIRST, *MODULES], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
