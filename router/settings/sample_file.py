"""The text of a first settings file: what a router for one model needs, with a comment on each choice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal, get_args

Server = Literal["openai", "v2", "v1", "torchserve", "mlflow", "other"]
SERVERS: Final[tuple[Server, ...]] = get_args(Server)
MEANINGS: Final = {
    "openai": "vLLM, SGLang, TGI, llama.cpp",
    "v2": "Triton, MLServer, KServe V2",
    "v1": "TensorFlow Serving, KServe V1",
    "torchserve": "TorchServe",
    "mlflow": "mlflow models serve",
    "other": "any other: only its page / is asked",
}
_PROBES: Final[dict[str, tuple[str, str]]] = {
    "openai": ("/v1/completions", '{"model": "MODEL", "prompt": "a", "max_tokens": 1}'),
    "v2": ("/v2/models/MODEL/infer", '{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}'),
    "v1": ("/v1/models/MODEL:predict", '{"instances": [[1.0]]}'),
    "torchserve": ("/predictions/MODEL", '{"data": [1.0]}'),
    "mlflow": ("/invocations", '{"inputs": [[1.0]]}'),
}


@dataclass(frozen=True, slots=True)
class FirstSettings:
    """The answers: URLs of the active version and of the standby (empty: there is none yet), and the kind of server."""

    active: str
    standby: str
    server: Server
    service: str = "model"
    model: str = ""
    active_version: str = "v2"
    standby_version: str = "v1"
    slo_ms: float | None = None
    listen: str = "127.0.0.1:8080"
    admin_listen: str = "127.0.0.1:8081"

    def text(self) -> str:
        """Return the file."""
        return "\n".join([*self._listeners(), *self._versions(), *self._probe(), *self._rules()])

    @property
    def _table(self) -> str:
        """The name of the service's table; a key with a dot in it is quoted (TOML 1.0)."""
        return f"services.{json.dumps(self.service) if '.' in self.service else self.service}"

    def _listeners(self) -> list[str]:
        return [
            "# rollback-router: settings for one model.",
            "# docs/reference/settings.md has every other setting. The command config check reads this file, and names every",
            "# mistake with its line. SIGHUP makes a running router read it again.",
            "",
            "# Where clients connect. 0.0.0.0 is every address of this machine.",
            f"listen = {json.dumps(self.listen)}",
            "",
            "# Where operators and Prometheus connect. An address other than loopback needs [[admin.tokens]]:",
            "# the command token new makes one.",
            f"admin_listen = {json.dumps(self.admin_listen)}",
            "",
            "# Only watch and report: no rule rolls back. For the first days with real traffic.",
            "# observe = true",
            "",
        ]

    def _versions(self) -> list[str]:
        lines = [
            f"[{self._table}]",
            "# The version that serves, and each of its replicas. After the first start the journal knows which one serves.",
            f'active = {{ version = "{self.active_version}", endpoints = [{json.dumps(self.active)}] }}',
            "",
            "# The version to go back to. It is kept warm. Without it nothing can be rolled back.",
        ]
        standby = self.standby or "http://127.0.0.1:9001"
        mark = "" if self.standby else "# "
        lines.append(f'{mark}standby = {{ version = "{self.standby_version}", endpoints = [{json.dumps(standby)}] }}')
        return [
            *lines,
            "",
            "# A model changes nothing by answering, so that a failed request may be sent to another version once more.",
            '# If it does change something, write "unsent": only what has not been sent is sent again.',
            'replay = "always"',
            "",
        ]

    def _probe(self) -> list[str]:
        if self.server == "other":
            return [
                f"[{self._table}.probe]",
                "# This page may be answered while the model is dead. Ask the model itself, as in the lines below:",
                "# docs/behaviour/probes.md has the requests of usual servers.",
                'path = "/"',
                '# method = "POST"',
                '# path = "/predict"',
                "# body = '{\"inputs\": [1.0]}'",
                "# expect_status_below = 400",
                "",
            ]
        path, body = (part.replace("MODEL", self.model or self.service) for part in _PROBES[self.server])
        return [
            f"[{self._table}.probe]",
            "# A small request that runs the model: correct it to what your model takes. It is sent every 10 s, and more",
            "# often while a version is verified. It is evidence: a standby that does not answer it takes no traffic.",
            'method = "POST"',
            f'path = "{path}"',
            f"body = '{body}'",
            "expect_status_below = 400",
            "",
        ]

    def _rules(self) -> list[str]:
        slo = f"slo_ms = {self.slo_ms:.12g}" if self.slo_ms else "# slo_ms = 250"
        return [
            f"[{self._table}.rules.latency]",
            "# An answer is late after this time. Without it no version is rolled back for being slow. The command advise",
            "# proposes a value from the history.",
            slo,
            "",
            "# [[notify]]",
            "# # Who is told of a rollback. The command notify test sends a first message.",
            '# name = "on-call"',
            '# kind = "slack"',
            '# url_file = "/etc/rollback-router/slack.url"',
            "",
        ]
