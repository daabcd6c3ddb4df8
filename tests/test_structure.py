"""The rules of CONTRIBUTING that a machine can check: sizes, names, places, directions of imports, tools."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from router.settings.loader import load
from router.settings.shown import shown
from tests.texts import TEXTS

ROOT: Final = Path(__file__).parent.parent
ROUTER: Final = sorted((ROOT / "router").rglob("*.py"))
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
ALL: Final = [
    *ROUTER,
    *TESTS,
    *sorted((ROOT / "docs").rglob("*.py")),
    *sorted(path for path in (ROOT / "benchmarks").rglob("*.py") if ".cache" not in path.parts),
]
LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 60
MODULES_MAX: Final = 16
FORBIDDEN_NAMES: Final = {"utils.py", "helpers.py", "common.py", "base.py", "constants.py", "types.py", "manager.py"}

GUARDS: Final = {"supervisor/supervisor.py", "control/core/loop.py", "control/admin/app.py", "proxy/tap/validation.py"}
"""Modules that may have a broad except: supervisor loop, control tick, admin middleware, validators of a connection."""

TESTED_ELSEWHERE: Final = {
    "__main__.py": "test_python_m_router_is_the_same_command",
    "proxy/main.py": "a composition root without logic: every end-to-end test starts it",
    "supervisor/run.py": "test_supervisor.py starts every router through it",
    "supervisor/processes.py": "test_supervisor.py: test_control_is_told_everything_and_the_first_one_what_to_assume",
    "rollout/machine/gate.py": "test_machine.py: the machine's commands show the gate's decisions",
    "rollout/machine/lifecycle.py": "test_machine.py: probes and time are events of the machine",
    "supervisor/run_options.py": "plain data",
    **dict.fromkeys(
        (f"settings/sections/{name}.py" for name in ("admin", "limits", "service", "tls", "values")),
        "settings/test_loader.py: values of settings are tested through `load`",
    ),
    **dict.fromkeys(
        (
            *(f"settings/checking/{name}.py" for name in ("key_hints", "strictness", "wording")),
            *(f"settings/{name}.py" for name in ("mistakes", "setting_types")),
        ),
        "settings/checking/test_all_mistakes.py: the whole answer about wrong files",
    ),
    "settings/sample_file.py": "cli/test_first_settings.py: the file that the command writes",
    "cli/doctor_check.py": "plain data",
    "cli/failure.py": "test_a_refusal_says_why_and_what_to_type",
    "demo/command.py": "the whole demo: tests/end_to_end/test_demo.py",
    "demo/load.py": "the whole demo: tests/end_to_end/test_demo.py",
    "demo/admin_client.py": "the whole demo: tests/end_to_end/test_demo.py",
    "demo/processes.py": "the whole demo: tests/end_to_end/test_demo.py",
    "demo/display.py": "the whole demo: tests/end_to_end/test_demo.py",
    "rollout/judge/context.py": "plain data: the tests of every trigger make one",
    "control/wiring.py": "a composition root without logic: every end-to-end test starts it",
    "proxy/http1/error_codes.py": "test_proxy_error_codes.py, which reads the sources: the wheel has none",
    "control/views/queries.py": "test_loop.py: changes are read through it",
    "control/main.py": "a composition root without logic: every end-to-end test starts it",
    "control/admin/reads.py": "test_app.py, test_records.py and test_status.py call its routes",
    "proxy/engine/local_target.py": "test_local_service.py: targets are tested through their service",
    "proxy/routing/limited.py": "Protocols only: mypy checks them",
    "proxy/routing/request_limit.py": "plain data: test_concurrency.py and test_saturation.py compare the replies",
    "proxy/tap/tapped.py": "Protocols only: mypy checks them",
}


def in_router(path: Path) -> str:
    return str(path.relative_to(ROOT / "router"))


def tool(*words: str) -> str:
    """Run a tool of this environment; return its complaints."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name(words[0])), *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("lint-imports",), id="imports point downwards"),
        pytest.param(("ruff", "check", "router", "tests", "benchmarks", "docs"), id="ruff"),
        pytest.param(("ruff", "format", "--check", "router", "tests", "benchmarks", "docs"), id="format"),
        pytest.param(("mypy",), id="mypy"),
    ],
)
def test_tool_has_no_complaint(words: tuple[str, ...]) -> None:
    assert tool(*words) == ""


def test_no_file_is_longer_than_one_noun() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ALL}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {
        f"{in_router(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in ROUTER
        for function in functions(path)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}


def test_no_module_has_a_vague_name() -> None:
    assert [in_router(path) for path in ROUTER if path.name in FORBIDDEN_NAMES] == []


def test_router_itself_holds_only_the_entry_point() -> None:
    found = {path.name for path in (ROOT / "router").iterdir() if path.is_file()}
    assert found == {"__init__.py", "__main__.py", "py.typed"}


def test_no_package_has_more_modules_than_one_can_see() -> None:
    """Except `cli`, with a verb a module, and `settings/sections`, with a table of the settings a module."""
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in ROUTER if path.name != "__init__.py")
    free = {"router/cli", "router/settings/sections"}
    assert {name: count for name, count in counts.items() if count > MODULES_MAX and name not in free} == {}


def test_a_public_class_name_exists_once() -> None:
    modules: dict[str, list[str]] = {}
    for path in ROUTER:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, []).append(in_router(path))
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}


RETIRED: Final = frozenset(
    """bench cabinet careful chronicle conductor crew crowd desk errand glance heard house knows lane ledger nobody office
    pedigree said stretch tape tenure told visitor whoever witness""".split()  # noqa: SIM905 (a list would be 30 lines)
)
"""Words of an earlier, private vocabulary. Packages, classes and variables have the field's words instead."""
FROZEN: Final = {"MLFLOW_TOLD", "heard_at"}
"""Named after an entry type of the journal, and a member of the API."""


def test_no_name_has_a_retired_word() -> None:
    found = set()
    for path in ROUTER:
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", token.string).lower().split("_")
            singular = {word.removesuffix("s") for word in words} | set(words)
            if token.type == tokenize.NAME and token.string not in FROZEN and singular & RETIRED:
                found.add(f"{in_router(path)}:{token.start[0]}: {token.string}")
    assert sorted(found) == []


def test_no_module_global_changes() -> None:
    assert [in_router(path) for path in ROUTER if re.search(r"^\s+global ", path.read_text(), re.MULTILINE)] == []


def test_broad_excepts_stand_only_at_the_guards() -> None:
    broad = re.compile(r"except(?: \(?(?:Base)?Exception\b.*)?:")
    found = {}
    for path in ROUTER:
        tree = ast.parse(path.read_text())
        handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
        caught = [
            node for node in handlers if broad.match(f"except {ast.unparse(node.type)}:" if node.type else "except:")
        ]
        # A handler that cleans up and raises again hides nothing.
        hiding = [node for node in caught if not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)]
        if hiding:
            found[in_router(path)] = len(hiding)
    assert {name: count for name, count in found.items() if name not in GUARDS or count > 1} == {}


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        pytest.param(r"^\s*(import time\b|from time import)", {"runtime/clock.py"}, id="one clock"),
        pytest.param(
            r"\bos\.(environ|getenv)\b",
            {"settings/environment.py", "settings/loader.py", "settings/settings.py", "runtime/interpreter.py"},
            id="one reader of the environment",
        ),
        pytest.param(r"\basyncio\.(create_task|ensure_future)\(", {"runtime/tasks.py"}, id="one module starts tasks"),
        pytest.param(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", set(), id="nothing left for later"),
    ],
)
def test_only_there(pattern: str, allowed: set[str]) -> None:
    found = {in_router(path) for path in ROUTER if re.search(pattern, path.read_text(), re.MULTILINE)}
    assert found - allowed == set()


CHANGING: Final = frozenset(
    """add append appendleft clear discard extend insert pop popitem popleft remove setdefault update""".split()  # noqa: SIM905 (as above)
)
"""Methods of the standard collections that change them."""
WRITTEN_FROM_OUTSIDE: Final = {
    ("control/admin", "name"): "a function names the error that it has just made",
    ("control/admin", "headers"): "an attribute of aiohttp's responses",
    ("control/store", "done"): "the journal completes its own batch before it queues it",
    ("control/store", "doubt"): "the writer notes the change in doubt of its own batch",
    ("control/store", "outcome"): "the journal decides the record of a change in doubt",
    ("rollout/machine", "criteria"): "`remove` is a method of AddedCriteria",
    ("proxy/accept", "adopted"): "the hand-off restores a connection of the old router",
    ("proxy/accept", "buffer"): "the hand-off moves the received bytes of a connection",
    ("proxy/accept", "peer"): "the hand-off restores a connection of the old router",
    ("proxy/accept", "closing"): "a connection above a limit ends with its response",
    ("proxy", "closing"): "a connection of a draining worker ends with its response",
    ("proxy/accept", "handing_on"): "the hand-off begins and ends",
    ("proxy", "service"): "the match fills the head that the parser has just made",
    ("proxy", "work"): "as the service",
    ("proxy/engine", "since"): "one dict operation starts or ends a deadline, several times a request",
    ("proxy/accept", "since"): "as in the engine",
    ("proxy/engine", "duration_s"): "the engine sets the length of its own deadlines",
    ("proxy/accept", "duration_s"): "the limiter sets the length of its own deadlines",
}
"""(package, attribute) → why modules of the package may write this attribute of another object."""


def attributes(path: Path) -> set[str]:
    """Return the names of all attributes that the classes of a module declare or assign to themselves."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            found |= {
                item.target.id
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            }
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            found.add(node.attr)
    return found


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def writes(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, attribute) of each write to an attribute of an object that is not `self`, and to a collection in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        written: ast.expr | None = None
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            written = node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            written = node.func.value
        while isinstance(written, ast.Subscript):
            written = written.value
        if isinstance(written, ast.Attribute) and not _is_self(written.value):
            yield node.lineno, written.attr


def test_no_module_writes_attributes_of_foreign_objects() -> None:
    """Objects get what they need by their constructor, or by a method with a name.

    A module may write the attributes of its own classes. In the data plane, which avoids calls for each request, the modules
    of a package may write the attributes of the package's classes. Words of shared memory are no attributes.
    """
    declared = {path: attributes(path) for path in ROUTER}
    known = set().union(*declared.values()) - {"words"}
    found: dict[tuple[str, str], list[str]] = {}
    for path in ROUTER:
        name = in_router(path)
        if name.split("/")[0] not in ("control", "supervisor", "proxy", "rollout"):
            continue
        owners = path.parent.glob("*.py") if name.startswith("proxy/") else (path,)
        own = set().union(*(declared[owner] for owner in owners))
        for line, attribute in writes(path):
            if attribute in known - own:
                found.setdefault((name.rpartition("/")[0], attribute), []).append(f"{name}:{line}: {attribute}")
    assert [place for key, places in found.items() if key not in WRITTEN_FROM_OUTSIDE for place in places] == []
    assert [key for key in WRITTEN_FROM_OUTSIDE if key not in found] == [], "an exception that is not needed"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_benchmarks_meet_the_router_over_http() -> None:
    """Except the one that measures costs which HTTP does not show, and the judge under a virtual clock."""
    benchmarks = [path.relative_to(ROOT) for path in ALL if path.relative_to(ROOT).parts[0] == "benchmarks"]
    found = [path for path in benchmarks if any(name.split(".")[0] == "router" for name in imported(ROOT / path))]
    assert {path.parts[1] for path in found} == {"judge", "micro.py"}


SLEEPS: Final = {
    "waiting.py: until": "the one that waits",
    "proxy/waiting.py: until": "the one that waits, in tests of the proxy",
    "end_to_end/real_router.py: until": "waits for another process, and names what did not come",
    "end_to_end/real_router.py: stays": "what must not happen has no event",
    "end_to_end/soak.py: Soak._send": "a steady rate of requests",
    "end_to_end/soak.py: Soak._stood_still": "a process that does nothing for so long",
    "end_to_end/mlflow_server.py: running": "waits for a server, in a test without a loop",
    "backends.py: slow.answer": "a backend that takes its time",
    "backends.py: tokens.answer": "a backend that takes its time",
    "backends.py: event_stream.answer": "a backend that takes its time",
    "backends.py: continuing.behave": "a backend that takes its time",
    "backends.py: drip.answer": "a backend that takes its time",
    "backends.py: cut_after.answer": "bytes have to leave before the reset, which discards what is queued",
    "control/cases/model_server.py: ModelServer.handle": "a backend that takes its time",
    "end_to_end/test_replicas.py: Replica._answer": "a backend that takes its time",
    "control/admin/test_json_text.py: longest_gap_s.tick": "measures the turns of the loop",
    "end_to_end/steady.py: Steady._client": "a client that pauses",
    "end_to_end/traffic.py: Traffic._client": "a client that pauses",
    "end_to_end/traffic.py: Traffic._open_loop": "requests at a rate",
    "end_to_end/traffic.py: leave": "a client that leaves after a while",
    "end_to_end/traffic.py: read_slowly": "a client that reads slowly",
    "end_to_end/test_dashboard_services.py: traffic.ask": "a client that pauses",
    "end_to_end/test_dashboard_services.py: Viewers.read": "measures for a time",
    "end_to_end/test_hanging.py: crashed.watch": "looks at a rate",
    "end_to_end/test_kills.py: Operator.switch": "a client that pauses",
    "end_to_end/test_kills.py: Operator.work": "a client that pauses",
    "end_to_end/test_kills.py: test_kills_at_random_times_lose_nothing_that_was_acknowledged": "kills at random times",
    "end_to_end/test_rollback.py: test_clients_at_fault_roll_nothing_back_and_then_the_target_does.answer": "a backend "
    "that takes its time",
    "end_to_end/test_take_over.py: behaviour.answer": "a backend that takes its time",
    "end_to_end/test_take_over.py: watch_admin": "a client that pauses",
}
"""Functions of tests that may sleep, and why. Every other function waits for a condition: `tests/waiting.py`."""


def sleeping(path: Path) -> set[str]:
    """Return the qualified names of the functions in `path` that sleep. `sleep(0)` only lets other tasks run."""
    found: set[str] = set()

    def visit(node: ast.AST, names: tuple[str, ...]) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = (*names, node.name)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep", "sleep"):
            if [ast.unparse(argument) for argument in node.args] != ["0"]:
                found.add(".".join(names))
        for child in ast.iter_child_nodes(node):
            visit(child, names)

    visit(ast.parse(path.read_text()), ())
    return {f"{path.relative_to(ROOT / 'tests')}: {name}" for name in found}


def test_tests_wait_for_conditions_and_not_for_a_time() -> None:
    found = {name for path in TESTS for name in sleeping(path)}
    assert sorted(found - set(SLEEPS)) == []
    assert sorted(set(SLEEPS) - found) == [], "entries without a sleep"


WAITS: Final = {"until", "turns"}
"""Functions of tests that may sleep: they wait for a condition, or for turns of the event loop."""
SLEEPLESS: Final = ("proxy", "tls")
"""Folders of tests in which nothing else sleeps, for however short a time: a machine under load takes longer."""


def sleeps(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each sleep outside of WAITS."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in WAITS:
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep"):
            yield node.lineno
        yield from sleeps(node)


@pytest.mark.parametrize("folder", SLEEPLESS)
def test_tests_wait_for_conditions(folder: str) -> None:
    found = {path: list(sleeps(ast.parse(path.read_text()))) for path in (ROOT / "tests" / folder).rglob("*.py")}
    assert {str(path.relative_to(ROOT)): lines for path, lines in found.items() if lines} == {}


SENTENCE_WORDS: Final = 5
SENTENCES_MAX: Final = 52
"""Input that comes back, texts of the operating system, patterns of `match`, and whole pages. Lower it, never raise it."""
WORD: Final = re.compile(r"\(?[A-Za-z][a-z'-]*[.,:;!?)]*")


def sentences(path: Path) -> set[tuple[int, str]]:
    """Return (line, text) of each text of five words or more that a comparison or `match=` of a test holds."""
    compared: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            compared += [node.left, *node.comparators]
        elif isinstance(node, ast.Call):
            compared += [keyword.value for keyword in node.keywords if keyword.arg == "match"]
    constants = [part for side in compared for part in ast.walk(side) if isinstance(part, ast.Constant)]
    texts = [(part.lineno, part.value) for part in constants if isinstance(part.value, str)]
    return {(line, text) for line, text in texts if sum(map(bool, map(WORD.fullmatch, text.split()))) >= SENTENCE_WORDS}


def test_texts_for_users_stand_in_the_golden_table() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}: {text}" for path in TESTS for line, text in sentences(path)]
    assert len(found) <= SENTENCES_MAX, "\n".join(sorted(found))


def test_every_text_of_the_golden_table_is_compared() -> None:
    tests = "".join(path.read_text() for path in TESTS if path.name != "texts.py")
    compared = set(re.findall(r'golden\(\s*"([\w.]+)"', tests))
    assert sorted(set(TEXTS) - compared) == []


def test_every_module_has_its_test_in_the_mirror() -> None:
    """`tests/package/test_noun.py` tests `router/package/noun.py`, or another test of that package imports it.

    The answers of the API are types; `tests/control/test_answers.py` compares each real answer with its type.
    """
    without = ("__init__.py", "answers.py", "addon_answers.py")
    missing = [in_router(path) for path in ROUTER if path.name not in without and not _is_mirrored(path)]
    assert [name for name in missing if name not in TESTED_ELSEWHERE] == []
    assert [name for name in TESTED_ELSEWHERE if not (ROOT / "router" / name).exists()] == []


def _is_mirrored(path: Path) -> bool:
    packages = path.relative_to(ROOT / "router").parts[:-1]
    folder = ROOT / "tests" / Path(*packages[:1])
    if (folder / Path(*packages[1:]) / f"test_{path.name}").exists():
        return True
    package, module = re.escape(".".join(("router", *packages))), re.escape(path.stem)
    imported = re.compile(rf"(from|import) {package}\.{module}\b|from {package} import [^\n]*\b{module}\b")
    tests = folder.rglob("test_*.py") if packages else folder.glob("test_*.py")
    return any(imported.search(test.read_text()) for test in tests)


EXAMPLE: Final = ROOT / "deploy" / "router.example.toml"
SETTING: Final = re.compile(r"^#(?: unset: )?([a-z0-9_]+) = ", re.MULTILINE)


def places(document: dict[str, Any], place: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting in `document`. A table is no setting; its members are."""
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from places(value, f"{place}{name}.")
        else:
            yield f"{place}{name}"


def test_the_example_has_every_setting_and_each_at_its_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    every = tmp_path / "every.toml"
    every.write_text(SETTING.sub(r"\1 = ", text))
    at_default = tmp_path / "default.toml"
    at_default.write_text(re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE))

    assert load(at_default).model_dump() == load(EXAMPLE).model_dump(), (
        "a setting that is commented out has its default"
    )
    known = set(places(shown(load(every))))
    assert known - set(places(tomllib.loads(every.read_text()))) == set(), "settings that the example lacks"
