"""Starts a router: it locks the state directory and binds the sockets, or takes both over from a running router."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Sequence
from typing import Final

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime import clock, fd_limits, interpreter
from router.runtime.failpoint import FailPoint
from router.runtime.host import cgroups, memory, processors
from router.runtime.inlets import Inlets
from router.settings import loader
from router.settings.settings import Settings
from router.supervisor import reload
from router.supervisor.patience import Patience
from router.supervisor.processes import ProcessSet
from router.supervisor.run_options import RunOptions
from router.supervisor.sockets import AdminSocket, DataSockets
from router.supervisor.state_directory import PATIENCE_S, StateDirectory
from router.supervisor.supervisor import Supervisor
from router.supervisor.takeover.new_router import NewRouter
from router.tls import contexts

log = logging.getLogger(__name__)
UMASK: Final = 0o077
"""Of the router and its children. A container may start with one that takes the owner's own rights."""
CONTROL: Final = tuple(interpreter.command("router.control.main"))
WORKER: Final = tuple(interpreter.command("router.proxy.main"))


def run(
    settings: Settings, options: RunOptions, control_argv: Sequence[str] = CONTROL, worker_argv: Sequence[str] = WORKER
) -> int:
    """Run the router until it is stopped; return the exit code. Raise StartError if it cannot start."""
    _raise_file_limit()
    os.umask(UMASK)
    if shortage := fd_limits.shortage(settings.workers, fd_limits.available()):
        raise StartError(StartCode.DESCRIPTORS_TOO_FEW, shortage)
    for warning in contexts.check(settings.model_dump(), clock.wall_s()):
        log.warning("%s", warning)
    if options.take_over:
        return _take_over(settings, options, control_argv, worker_argv)
    state = StateDirectory(settings.resolved_state_dir().absolute())
    resources: list[DataSockets | AdminSocket] = []
    try:
        if options.fresh and (archive := state.archive(clock.wall_s())):
            options.announce(f"--fresh: the old state is now in {archive}")
        _report_host(settings)
        patience = Patience(PATIENCE_S if state.unclean else 0.0)
        resources.append(data := DataSockets(settings.listen, settings.workers, patience, settings.listen_mode))
        resources.append(admin := AdminSocket(settings.admin_listen, patience, settings.admin_listen_mode))
        bound = settings.model_copy(
            update={"listen": data.address, "admin_listen": admin.address, "state_dir": state.path}
        )
        processes = ProcessSet(bound, options, state, data, admin, control_argv, worker_argv)
        return Supervisor(bound, options, state, data, admin, processes).run()
    finally:
        for opened in resources:
            opened.close()
        state.close()


def _take_over(settings: Settings, options: RunOptions, control_argv: Sequence[str], worker_argv: Sequence[str]) -> int:
    """Replace the router that serves from the same state directory (takeover/old_router.py)."""
    path = settings.resolved_state_dir().absolute()
    inlets = Inlets(path, settings.workers)
    old = NewRouter(path, FailPoint(settings.fail_point), inlets.token)
    resources: list[DataSockets | AdminSocket | StateDirectory | Inlets] = [inlets]
    try:
        *listening, last = old.sockets
        resources += [admin := AdminSocket.adopted(last), data := DataSockets.adopted(listening, settings.workers)]
        for name, configured, actual in (
            ("listen", settings.listen, data.address),
            ("admin_listen", settings.admin_listen, admin.address),
        ):
            if reload.effective_address(configured, actual) != actual:
                detail = (
                    f"{name} {configured}: the router to be taken over is at {actual}; addresses change by a stop and a "
                    "start only"
                )
                raise StartError(StartCode.ADDRESS_DIFFERS, detail)
        resources.append(state := StateDirectory(path, lock=False))
        _report_host(settings)
        bound = settings.model_copy(update={"listen": data.address, "admin_listen": admin.address, "state_dir": path})
        processes = ProcessSet(bound, options, state, data, admin, control_argv, worker_argv, inlets)
        return Supervisor(bound, options, state, data, admin, processes, old, inlets).run()
    finally:
        for opened in resources:
            opened.close()
        old.close()


def _report_host(settings: Settings) -> None:
    """Log what this process may use, and warn if the settings need more. Name the variables that are passed over."""
    if notice := loader.passed_over():
        log.info("%s", notice)
    found, limit_bytes = processors.of(), cgroups.memory_limit_bytes()
    log.info(
        "workers=%d: this process may use %s%s",
        settings.workers,
        found.described,
        "" if limit_bytes is None else f" and {limit_bytes // memory.MIB} MiB of memory",
    )
    shortage = memory.shortage(settings.workers, len(settings.services), limit_bytes)
    for warning in (found.excess(settings.workers), shortage):
        if warning is not None:
            log.warning("%s", warning)


def _raise_file_limit() -> None:
    """Raise the soft limit of descriptors to the hard limit: every connection needs one. Children inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
