"""Starts Python again with the same interpreter and packages, and without imports from the working directory.

`python -m` and an empty entry of PYTHONPATH both put the working directory in front of the standard library: a file
`typing_extensions.py` in that directory would then be imported. Every start of Python goes through `command` and one of the
two environments. `__main__` uses this module before it imports anything else; it therefore imports only modules that Python
has loaded at its start.

Why: docs/decisions.md#interpreter-flags-and-environment-of-children.
"""

from __future__ import annotations

import os
import subprocess
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_checkouts: list[str] = []
"""Set if this package was found through the working directory only: an operator runs a checkout that is not installed."""

_PATH_LISTS = frozenset(
    ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX")
)
"""An empty entry in one of these means the working directory; a relative entry is relative to it."""
_PYTHON = frozenset(
    (
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONPLATLIBDIR",
        "PYTHONUSERBASE",
        "PYTHONNOUSERSITE",
        "PYTHONPYCACHEPREFIX",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUTF8",
        "PYTHONIOENCODING",
        "PYTHONCOERCECLOCALE",
        "PYTHONHASHSEED",
        "PYTHONUNBUFFERED",
        "PYTHONMALLOC",
        "PYTHONMALLOCSTATS",
        "PYTHONFAULTHANDLER",
        "PYTHONTRACEMALLOC",
        "PYTHONOPTIMIZE",
        "PYTHONWARNINGS",
        "PYTHONDEVMODE",
        "PYTHONASYNCIODEBUG",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONVERBOSE",
        "PYTHONNODEBUGRANGES",
        "PYTHONINTMAXSTRDIGITS",
    )
)
_COMMON = frozenset(
    (
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "SQLITE_TMPDIR",
        "TZ",
        "TZDIR",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_COLLATE",
        "LC_CTYPE",
        "LC_MESSAGES",
        "LC_MONETARY",
        "LC_NUMERIC",
        "LC_TIME",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "GLIBC_TUNABLES",
        "MALLOC_ARENA_MAX",
        "MALLOC_TRIM_THRESHOLD_",
        "MALLOC_CONF",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "OPENSSL_CONF",
        "OPENSSL_MODULES",
        "OPENSSL_ENGINES",
        "RES_OPTIONS",
        "LOCALDOMAIN",
        "HOSTALIASES",
    )
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_PROXY_VARIABLES = frozenset((*_PROXIES, *(name.lower() for name in _PROXIES)))
OUTWARD = frozenset(
    (
        *_PROXY_VARIABLES,
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NETRC",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "DBUS_SESSION_BUS_ADDRESS",
    )
)
"""Further variables for a process that sends notifications. The address of a proxy may contain its password."""


def command(module: str, *words: str) -> list[str]:
    """Return the command that runs `module` of this installation, from any working directory."""
    user_site = ["-s"] if sys.flags.no_user_site else []
    return [os.path.abspath(sys.executable), "-P", *user_site, "-m", module, *words]


def run(module: str, document: bytes, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run `module` in a child process with `document` on stdin, and return what it has printed.

    Raise subprocess.TimeoutExpired, or OSError if it cannot be started. This blocks; call it in a thread.
    """
    return subprocess.run(
        command(module), env=environment(), input=document, capture_output=True, timeout=timeout_s, check=False
    )


def environment(more: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the environment for a child process: the known names and those in `more`. Other variables may be secrets."""
    return _filtered(_COMMON | _python() | more)


def proxy_variables() -> dict[str, str]:
    """Return the variables that name HTTP proxies, in capital and in small letters. A value may contain a password."""
    return {name: value for name, value in os.environ.items() if name in _PROXY_VARIABLES}


def whole_environment() -> dict[str, str]:
    """Return the environment for a program that reads settings from it: all variables, with absolute search paths."""
    return _filtered(frozenset(os.environ) - (_PYTHON - _python()))


def forget_working_directory(*, as_module: bool) -> None:
    """Remove the working directory from `sys.path`, unless PYTHONPATH names it or this package is only found there.

    `as_module`: Python was started with -m, which puts the working directory in front.
    """
    if as_module and not sys.flags.safe_path:
        del sys.path[0]
    python_path = os.environ.get("PYTHONPATH", "") if _python() else ""
    if python_path and "" in python_path.split(os.pathsep):
        here = _absolute("")
        if here not in _absolute_list(python_path).split(os.pathsep) and here in sys.path:
            sys.path.remove(here)
    if os.path.realpath(_ROOT) not in map(os.path.realpath, filter(None, sys.path)):
        sys.path.append(_ROOT)
        _checkouts.append(_ROOT)


def _python() -> frozenset[str]:
    return frozenset() if sys.flags.ignore_environment else _PYTHON


def _filtered(names: frozenset[str]) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name in names}
    found |= {name: _absolute_list(found[name]) for name in _PATH_LISTS & found.keys()}
    if _checkouts:
        found["PYTHONPATH"] = os.pathsep.join(filter(None, (found.get("PYTHONPATH"), *_checkouts)))
    return {name: value for name, value in found.items() if value or name not in _PATH_LISTS}


def _absolute_list(value: str) -> str:
    """Return the entries as absolute paths, without empty ones."""
    return os.pathsep.join(filter(None, (_absolute(entry) for entry in value.split(os.pathsep) if entry)))


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except OSError:  # a relative entry, and the working directory is gone
        return ""
