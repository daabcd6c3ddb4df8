"""Another Python is started without files of the working directory and without unknown environment variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.runtime import interpreter

SECRETS = (
    *(
        "ROLLBACK_ROUTER_TOKEN",
        "ROLLBACK_ROUTER_ADMIN__TOKENS",
        "ROLLBACK_ROUTER_NOTIFY",
        "ROLLBACK_ROUTER_MLFLOW__USER",
    ),
    *(
        "AWS_SECRET_ACCESS_KEY",
        "DATABASE_URL",
        "MLFLOW_TRACKING_PASSWORD",
        "GITHUB_TOKEN",
        "LC_PASSWORD",
        "PYTHONSECRET",
    ),
    *("KUBERNETES_TOKEN", "SSLKEYLOGFILE", "NOTIFY_SOCKET", "PATH_TO_SECRET", "PGPASSWORD", "x", "_", "OLDPWD"),
)
SHOW = "import json, os, sys; json.dump([sys.path, dict(os.environ)], sys.stdout)"
FRONT = "import sys; from router.runtime import interpreter; interpreter.forget_working_directory(as_module=True); "


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name != "PATH":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_only_known_names_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, "https_proxy"):
        monkeypatch.setenv(name, "s3cret")
    known = {"TZ": "UTC", "HOME": "/root", "LC_ALL": "C.UTF-8", "SSL_CERT_FILE": "/ca.pem", "PYTHONUTF8": "1"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    assert interpreter.environment() == known | {"PATH": os.environ["PATH"]}
    outward = interpreter.environment(interpreter.OUTWARD)
    assert outward == interpreter.environment() | {"https_proxy": "s3cret"}
    assert interpreter.whole_environment() == dict(os.environ)


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ("/a:/b", "/a:/b"),
        (":/a", "/a"),
        ("/a:", "/a"),
        ("/a::/b", "/a:/b"),
        (":", None),
        ("lib:/a", "{here}/lib:/a"),
        (".", "{here}"),
        ("/a/../b", "/b"),
    ],
)
def test_a_search_path_names_what_it_means_and_an_empty_entry_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, passed_on: str | None
) -> None:
    wanted = passed_on.format(here=tmp_path) if passed_on else None
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "PYTHONPYCACHEPREFIX"):
        monkeypatch.setenv(name, given)
        assert interpreter.environment().get(name) == wanted
        assert interpreter.whole_environment().get(name) == wanted


def test_without_a_working_directory_a_relative_entry_names_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("PYTHONPATH", "lib:/a")
    assert interpreter.environment()["PYTHONPATH"] == "/a"
    done = subprocess.run(
        interpreter.command("json.tool"), env=interpreter.environment(), input=b"{}", capture_output=True, check=True
    )
    assert done.stdout == b"{}\n"


def test_a_command_imports_nothing_from_where_it_is_started(tmp_path: Path) -> None:
    for name in ("router", "typing_extensions", "orjson", "json", "typing", "runpy", "sitecustomize", "pkgutil"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    done = subprocess.run(
        [*interpreter.command("router"), "--version"],
        env=interpreter.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert os.path.isabs(interpreter.command("x")[0])


@pytest.mark.parametrize("name", ["typing_extensions", "typer", "typing", "json", "pydantic"])
def test_python_dash_m_router_forgets_the_working_directory_before_it_imports_anything(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    done = subprocess.run([sys.executable, "-m", "router", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_empty_entry_of_pythonpath_is_forgotten_and_a_named_one_kept(tmp_path: Path) -> None:
    show = FRONT.replace("True", "False") + SHOW
    for given, kept in ((":/a", False), ("/a:", False), (f":{tmp_path}", True), (".", True), (str(tmp_path), True)):
        environment = {**os.environ, "PYTHONPATH": given}
        shown = subprocess.run([sys.executable, "-P", "-c", show], env=environment, capture_output=True, check=True)
        assert (str(tmp_path) in json.loads(shown.stdout)[0]) is kept, given


def test_a_checkout_that_is_not_installed_is_found_by_those_that_it_starts(tmp_path: Path) -> None:
    """As `python -m router` does it: the package is found in the working directory, and nowhere else."""
    (tmp_path / "router" / "runtime").mkdir(parents=True)
    (tmp_path / "router" / "__init__.py").touch()
    (tmp_path / "router" / "runtime" / "__init__.py").touch()
    (tmp_path / "router" / "runtime" / "interpreter.py").write_text(Path(interpreter.__file__).read_text())
    (tmp_path / "router" / "child.py").write_text("import router; print(router.__file__)")
    start = (
        FRONT.replace("import sys;", "import sys, subprocess;")
        + "subprocess.run(interpreter.command('router.child'), env=interpreter.environment(), check=True, cwd='/')"
    )
    bare = [sys.executable, "-S", "-c", start]  # -S: without the packages that are installed
    done = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert done.stdout == f"{tmp_path}/router/__init__.py\n", done.stderr


def test_an_installation_is_not_put_in_front_of_the_standard_library() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", FRONT + "print(interpreter.environment().get('PYTHONPATH'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "None\n"


def test_what_python_was_told_to_ignore_its_children_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        FRONT.replace("as_module=True", "as_module=False") + "print(interpreter.command('x')[1:-2], 'PYTHONPATH' in "
    )
    script += "interpreter.environment(), 'PYTHONPATH' in interpreter.whole_environment())"
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    output = [
        subprocess.run(
            [sys.executable, *flags, "-c", script], capture_output=True, text=True, check=True
        ).stdout.strip()
        for flags in ((), ("-E",), ("-I",), ("-s",))
    ]
    assert output == ["['-P'] True True", "['-P'] False False", "['-P', '-s'] False False", "['-P', '-s'] True True"]
