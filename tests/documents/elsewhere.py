"""The commands of the pages that do not stand in `console` blocks: the test that runs each, or why none does.

`tests/end_to_end/test_pages.py` runs the `console` blocks. The commands here need minutes, root, or another machine. Some run
with other values: less time, another address, or the same Python without the shell script around it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.documents.pages import ROOT, blocks, name_of, pages

RUN_BY: Final[dict[str, tuple[str, ...]]] = {
    "tests/deploy/test_fresh_checkout.py::test_the_demo_of_readme": ("bash router/demo/run",),
    "tests/deploy/test_fresh_checkout.py::test_a_part_of_the_tests": ("bash tests/run tests/proxy -k deadlines",),
    "tests/end_to_end/test_demo.py::test_demo": ("bash router/demo/run --headless --json --fault hang",),
    "tests/end_to_end/test_fuzzing.py::test_a_search_guided_by_coverage_finds_nothing": (
        ".venv/bin/python -m tests.fuzz --seconds 600 request_heads",
    ),
    "tests/end_to_end/test_tutorial.py::test_the_tutorial_with_a_real_mlserver": (
        "pip install mlserver",
        "mlserver start v1 & mlserver start v2 & mlserver start v3 &",
    ),
    "tests/test_generated.py::test_check_names_a_stale_file_and_fails": (".venv/bin/python -m docs.generate",),
    "tests/test_structure.py::test_tool_has_no_complaint": (
        ".venv/bin/ruff check . && .venv/bin/ruff format . && .venv/bin/mypy && .venv/bin/lint-imports",
    ),
    "tests/deploy/test_wheel.py::test_the_release_is_made_and_its_compiled_wheel_runs": ("bash deploy/wheels",),
    "tests/deploy/test_install.py::test_pip_installs_the_router": (
        "pip install .",
        'pip install ".[schema]"',
        'pip install ".[apprise]"',
        'pip install ".[otel]"',
    ),
    "tests/deploy/test_install.py::test_pip_installs_the_locked_versions": (
        "pip install --require-hashes -r deploy/requirements.lock -r deploy/requirements-build.lock",
        "pip install --no-deps --no-build-isolation .",
    ),
    "tests/deploy/test_install.py::test_pip_audit_reads_the_locks": (
        "pip install pip-audit",
        "pip-audit --require-hashes --disable-pip -r deploy/requirements-extras.lock -r deploy/requirements-build.lock",
    ),
    "tests/deploy/test_booted_unit.py::test_the_router_lives_as_its_unit_says": (
        "systemctl daemon-reload",
        "systemctl enable --now rollback-router",
        "systemctl reload rollback-router",
        "journalctl -u rollback-router",
    ),
    "tests/deploy/test_image.py::test_docker_starts_it": ("docker build -t rollback-router -f deploy/Dockerfile .",),
    "tests/deploy/test_docker.py::test_the_page_starts_a_container": (
        "docker run --read-only --cap-drop ALL --security-opt no-new-privileges --stop-timeout 45 --publish 8080:8080"
        " --volume rollback-router:/state --volume /etc/rollback-router:/etc/rollback-router:ro rollback-router",
    ),
    "tests/deploy/test_docker.py::test_the_page_leads_from_compose_up_to_an_incident": (
        "docker compose -f deploy/compose.yaml up --build --detach",
        "docker compose -f deploy/compose.yaml logs setup",
        "docker compose -f deploy/compose.yaml exec router rollback-router deploy fraud-v2 http://model-v2:9000",
        "docker compose -f deploy/compose.yaml exec router rollback-router promote fraud-v2",
        "docker compose -f deploy/compose.yaml kill --signal USR1 model-v2",
        "docker compose -f deploy/compose.yaml exec router rollback-router status",
        "docker compose -f deploy/compose.yaml exec router rollback-router incidents",
        "docker compose -f deploy/compose.yaml down --volumes",
    ),
    "tests/deploy/test_chart.py::test_the_values_of_the_page_make_the_pod_that_the_page_names": (
        "helm install fraud deploy/chart --namespace models --values values.yaml",
    ),
    "tests/control/admin/test_tls.py::test_a_command_trusts_the_configured_authority": (
        "SSL_CERT_FILE=/etc/rollback-router/ca.pem rollback-router status --admin https://router.example.com:8081",
    ),
    "tests/end_to_end/test_bad_input.py::test_a_corrupt_journal_is_never_guessed_about": (
        "rollback-router run --assume-active fraud-v7 --journal-from …/journal-readable-….jsonl",
    ),
}
"""The test that runs them → commands."""

_THIS_RUN: Final = "it runs the test that would run it"
_CLUSTER: Final = "it needs a cluster; test_chart.py compares the name of the pod with what the chart makes"

NOT_RUN: Final[dict[str, str]] = {
    "bash tests/run": _THIS_RUN,
    "bash tests/run --nightly": _THIS_RUN,
    'bash tests/run -n 2 -m "not end_to_end"': _THIS_RUN,
    'PYTHON=python3.13 bash tests/run -m "not end_to_end"': _THIS_RUN,
    "bash benchmarks/setup && .venv-benchmarks/bin/python -m benchmarks swap": (
        "it measures, which needs an idle machine; tests/test_benchmarks*.py test its parts"
    ),
    ".venv/bin/python -m docs.generate.dashboard_pictures": (
        "it takes minutes and writes into docs/img; test_dashboard_scenes.py goes through the same scenes"
    ),
    "bash deploy/lock": "it asks the package index for what is new; tests/test_locks.py checks what it has written",
    "helm test fraud --namespace models": "it needs a cluster; test_chart_values.py runs the command of its pod",
    "kubectl --namespace models port-forward fraud-rollback-router-0 8081": _CLUSTER,
}
"""Command → why no test runs it."""

_IN_TEXT: Final = re.compile(r"(?:[A-Z_]+=\S+ )?(?:rollback-router|pip-audit) .*")
"""A command in a block of the language `text`, which shows it without running it."""


def shown(page: Path) -> list[str]:
    """Return the commands that a page shows in `sh` and `text` blocks, on one line each and without comments."""
    found = []
    for block in blocks(page.read_text("utf-8")):
        if block.language not in ("sh", "text"):
            continue
        for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
            text = re.sub(r"\s+#.*$", "", line).strip()
            wanted = _IN_TEXT.fullmatch(text) if block.language == "text" else text and not text.startswith("#")
            if wanted:
                found.append(text)
    return found


def all_shown() -> dict[str, list[str]]:
    """Return each command and the pages that show it. Usage lines of the reference are forms, not commands."""
    found: dict[str, list[str]] = {}
    for page in (page for page in pages() if page.parent.name != "reference"):
        for command in shown(page):
            found.setdefault(command, []).append(name_of(page))
    return found


def exists(node: str) -> bool:
    """Return whether a test FILE::NAME exists."""
    file, _, name = node.partition("::")
    path = ROOT / file
    return (
        path.is_file()
        and re.search(rf"^(?:async )?def {re.escape(name)}\(", path.read_text(), re.MULTILINE) is not None
    )
