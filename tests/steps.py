"""Records which functions of router/ are called from another module, in order: the steps of a test.

A newcomer reads a recorded list as a map of the code. A compiled function has no Python frame, so it is not recorded: tests
that use this module run on the pure build.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import pytest

import router
from router.runtime import build

ROOT: Final = Path(router.__file__).parent

pure_build_only: Final = pytest.mark.skipif(
    build.flavour() == build.COMPILED, reason="runs on the pure build: a compiled function has no Python frame"
)


@cache
def _module(file: str) -> str | None:
    """Return the module of a file in router/, e.g. `proxy.engine.pool`; None for other files."""
    path = Path(file)
    return ".".join(path.relative_to(ROOT).with_suffix("").parts) if path.is_relative_to(ROOT) else None


@cache
def _name(code: CodeType) -> str | None:
    """Return the function's qualified name, for a constructor that of its class; None for lambdas and comprehensions."""
    name = code.co_qualname.removesuffix(".__init__")
    return None if "<" in name else name


def _resumes(frame: FrameType) -> bool:
    """Whether this call continues a coroutine or a generator: the operand of RESUME is 0 only where a function begins."""
    is_generator = frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR)
    return bool(is_generator) and frame.f_code.co_code[frame.f_lasti + 1] & 3 != 0


@contextmanager
def recorded_steps(*packages: str) -> Iterator[list[str]]:
    """Yield the list of steps, which grows until the block ends. One step is `module function`.

    Steps are recorded of modules whose names begin with one of `packages`, on this thread and on threads that start
    within the block.
    """
    steps: list[str] = []

    def called(frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        module, function = _module(frame.f_code.co_filename), _name(frame.f_code)
        if module is None or function is None or not f"{module}.".startswith(packages) or _resumes(frame):
            return
        caller = frame.f_back
        if caller is None or _module(caller.f_code.co_filename) != module:
            steps.append(f"{module} {function}")

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        yield steps
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def first_missing(steps: Sequence[str], expected: Sequence[str]) -> str | None:
    """Return the first of the `expected` steps that does not follow its predecessors in `steps`; None if all are in order."""
    rest = iter(steps)
    return next((step for step in expected if step not in rest), None)
