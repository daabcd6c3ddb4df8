"""Builds the wheel with a compiled request path if there is a C compiler; hatchling runs this file.

Every module of `router/` with a `.pxd` beside it is compiled. Cython reads the unchanged `.py` and takes the types from the
`.pxd`, so both wheels have the same source, and tests run against both. The libraries are made in a temporary directory and go
from there into the wheel. No library lies in the source tree, where Python would import it instead of an edited file. For the
same reason an editable installation is never compiled.

Without a C compiler the wheel is pure Python, and a message says so. `ROLLBACK_ROUTER_PURE=1` requests a pure wheel;
`ROLLBACK_ROUTER_COMPILED=1` makes a missing compiler an error.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DIRECTIVES = {
    "language_level": 3,
    # Types come from the .pxd alone; annotations in the source are for readers and mypy.
    "annotation_typing": False,
    # Indices are checked as in Python. Counters do not check that the memoryview is initialised: a WorkerContext always has it.
    "initializedcheck": False,
    "binding": False,
    "auto_pickle": False,
}


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the libraries to the wheel."""

    _made: str | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are collected."""
        if version == "editable" or os.environ.get("ROLLBACK_ROUTER_PURE") == "1":
            return
        self._made = tempfile.mkdtemp(prefix="rollback-router-compile-")
        root, made = Path(self.root), Path(self._made)
        sources = sorted(path.with_suffix(".py").relative_to(root) for path in (root / "router").rglob("*.pxd"))
        try:
            libraries = compile_sources(root, made, sources)
        except CompilerMissing as error:
            if os.environ.get("ROLLBACK_ROUTER_COMPILED") == "1":
                raise
            self.app.display_warning(f"no C compiler, so the wheel is pure Python and costs more CPU: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(made / "lib" / name): name for name in libraries})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clean up once the wheel is written."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


class CompilerMissing(Exception):
    """There is no C compiler that works."""


def compile_sources(root: Path, made: Path, sources: list[Path]) -> list[str]:
    """Compile `sources`, relative to `root`, into `made`; return the libraries, relative to `made/lib`."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension, errors
    from setuptools.command.build_ext import build_ext

    # Copied, because Cython finds packages and declarations by where they lie.
    shutil.copytree(root / "router", made / "router", ignore=shutil.ignore_patterns("__pycache__"))
    here = os.getcwd()
    os.chdir(made)
    try:
        modules = [Extension(".".join(source.with_suffix("").parts), [str(source)]) for source in sources]
        for module in modules:
            module.extra_compile_args = ["-O2", "-g0"]
        # What Cython complains of is a mistake in the source, and no reason for a pure wheel.
        modules = cythonize(
            modules, compiler_directives=DIRECTIVES, quiet=True, force=True, nthreads=os.cpu_count() or 1
        )
        command = build_ext(Distribution({"ext_modules": modules}))
        command.build_lib, command.build_temp, command.parallel = "lib", "temp", os.cpu_count()
        command.ensure_finalized()
        command.run()
    except (errors.CCompilerError, errors.PlatformError, errors.ExecError) as error:
        raise CompilerMissing(str(error)) from error
    finally:
        os.chdir(here)
    return sorted(str(path.relative_to(made / "lib")) for path in (made / "lib").rglob("*") if path.is_file())
