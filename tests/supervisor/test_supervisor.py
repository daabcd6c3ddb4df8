"""The supervisor over fake children (fake_child.py), each test with real processes and no sleeping: it waits for reports."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.supervisor.takeover import channel
from router.supervisor.takeover.old_router import PROTOCOL, SOCKET_NAME
from tests.texts import golden

SETTINGS = """
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
workers = {workers}
state_dir = "{state}"
timeouts.control_silent_s = 0.5
timeouts.worker_silent_s = 0.5
timeouts.shutdown_timeout_s = 5
timeouts.confirm_timeout_s = {confirm}
[services.default]
active = {{ version = "v1", endpoints = ["http://127.0.0.1:9001"] }}
"""


class Run:
    """A supervisor and the reports of its children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "router.toml"
        self.write()
        self._reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reports.bind(str(folder / "reports"))
        self._reports.settimeout(10)
        self._unread: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def write(self, workers: int = 2, confirm: float = 1.0, services: tuple[str, ...] = ()) -> None:
        told = SETTINGS.format(workers=workers, state=self.folder / "state", confirm=confirm)
        more = [f'[services.{name}]\npath_prefix = "/{name}"\n' for name in services]
        self.settings.write_text("".join((told, *more)))

    def start(self, control: str = "steady", worker: str = "steady") -> Run:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.supervisor_process",
                str(self.folder / "reports"),
                str(self.settings),
                control,
                worker,
            ],
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )
        return self

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first new report that matches; other reports stay for later calls."""
        for position, line in enumerate(self._unread):
            if found := re.fullmatch(pattern, line):
                del self._unread[position]
                return found
        while True:
            line = self._reports.recv(8192).decode()
            if found := re.fullmatch(pattern, line):
                return found
            self._unread.append(line)

    def unread(self) -> list[str]:
        """Return all reports that no test has waited for."""
        self._reports.setblocking(False)
        try:
            while True:
                self._unread.append(self._reports.recv(8192).decode())
        except BlockingIOError:
            return self._unread

    def serving(self) -> Run:
        self.wait_for("announce .*")
        return self

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def leave(self) -> tuple[int, str]:
        assert self.process
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()  # the children see the end of their life pipe
            self.process.communicate()
        self._reports.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.close()


STARTED = r"worker {} started (\d+) {}"


def test_announces_the_addresses_once_everything_beats_and_leaves_with_0(run: Run) -> None:
    line = run.start().wait_for("announce (.*)")[1]
    assert re.fullmatch(
        r"rollback-router \S+ \(pure Python\): serving default on http://127\.0\.0\.1:[1-9]\d+, "
        rf"admin on http://127\.0\.0\.1:[1-9]\d+, 2 workers, state in {run.folder}/state",
        line,
    )
    run.send(signal.SIGTERM)
    order = [run.wait_for(r"(worker \d|control) SIGTERM (.*)") for _ in range(3)]
    assert {match[1] for match in order[:2]} == {"worker 0", "worker 1"}
    assert order[2][1] == "control"
    assert {match[2] for match in order} == {"draining"}
    assert run.leave()[0] == 0
    assert (run.folder / "state" / "lock").read_text() == ""


def test_at_a_stop_readiness_goes_first_and_the_workers_are_told_after_the_delay(run: Run) -> None:
    run.settings.write_text(run.settings.read_text().replace("[serv", "timeouts.shutdown_delay_s = 0.3\n[serv", 1))
    run.start(worker="watchful").serving()
    run.send(signal.SIGTERM)
    order = [run.wait_for(r"worker 0 (.*)")[1] for _ in range(3)]
    assert order[0].startswith("started")
    assert order[1:] == [golden("supervisor.stopping"), "SIGTERM draining"]
    assert run.leave()[0] == 0


def test_a_stop_within_a_take_over_is_a_stop_like_any_other(run: Run) -> None:
    """If the port still counted as shared, it would close without draining its queue, and readiness would stay."""
    run.start().serving()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as new:
        new.connect(str(run.folder / "state" / SOCKET_NAME))
        channel.send(new, {"say": "ask", "protocol": PROTOCOL})
        new.settimeout(10)
        offered = channel.receive(new)
        assert offered is not None
        assert offered[0]["say"] == "offer"
        for descriptor in offered[1]:
            os.close(descriptor)
        run.send(signal.SIGTERM)
        assert run.wait_for("worker 0 SIGTERM (.*)")[1] == "draining"
        refused = channel.receive(new)
        assert refused is not None
        assert refused[0] == {"say": "refused", "why": "it is being stopped"}
    assert run.leave()[0] == 0


def test_control_judges_until_the_last_worker_has_left(run: Run) -> None:
    run.start(worker="slow").serving()
    run.send(signal.SIGTERM)
    order = [run.wait_for("(worker . leaves|control SIGTERM) ?.*")[1] for _ in range(3)]
    assert order[2] == "control SIGTERM"
    assert run.leave()[0] == 0


def test_control_holds_the_lock_too_so_two_never_write_one_journal(run: Run) -> None:
    run.start()
    holders = {name: _holds(run, name) for name in ("control", "worker 0", "worker 1")}
    assert holders == {"control": True, "worker 0": False, "worker 1": False}


def _holds(run: Run, name: str) -> bool:
    descriptors = Path("/proc", run.wait_for(rf"{name} started (\d+) .*")[1], "fd").iterdir()
    return run.folder / "state" / "lock" in [descriptor.readlink() for descriptor in descriptors]


def test_control_is_told_everything_and_the_first_one_what_to_assume(run: Run) -> None:
    run.start()
    first = run.wait_for(r"control started (\d+) (.*)")
    args = json.loads(first[2])
    assert sorted(args) == [
        "acks_fd", "admin_fd", "assume_active", "certificates_fd", "life_fd", "log_format", "segment_fd", "settings_fd",
        "settings_origin", "state_dir", "updates_fd", "wake_fds",
    ]  # fmt: skip
    assert (args["assume_active"], args["settings_origin"]) == ("v9", str(run.settings))
    run.serving()
    os.kill(int(first[1]), signal.SIGKILL)
    second = json.loads(run.wait_for(r"control started (\d+) (.*)")[2])
    renewed = {"updates_fd": 0, "certificates_fd": 0}
    assert {**second, **renewed} == {**{name: args[name] for name in args if name != "assume_active"}, **renewed}


def test_a_killed_worker_is_restarted_and_its_counts_are_closed(run: Run) -> None:
    run.start(worker="busy").serving()
    pid = int(run.wait_for(STARTED.format(0, 1))[1])
    os.kill(pid, signal.SIGKILL)
    assert int(run.wait_for(STARTED.format(0, 2))[1]) != pid
    run.send(signal.SIGTERM)
    run.wait_for("worker 1 SIGTERM draining")
    run.send(signal.SIGTERM)  # the second: at once, although both are busy
    code, log = run.leave()
    assert code == 1, "something was cut"
    assert golden("supervisor.worker_died") in log


@pytest.mark.parametrize(
    ("control", "worker", "name"), [("mute-once", "steady", "control"), ("steady", "mute-once", "worker 1")]
)
def test_a_silent_child_is_killed_and_restarted(run: Run, control: str, worker: str, name: str) -> None:
    run.start(control, worker)
    first = int(run.wait_for(rf"{name} started (\d+) .*")[1])
    assert int(run.wait_for(rf"{name} started (\d+) .*")[1]) != first
    run.send(signal.SIGTERM)
    code, log = run.leave()
    assert code == 0
    assert re.search(rf"{name} \(pid {first}\) has been silent for 0\.[5-9] s: killed", log)


@pytest.mark.parametrize(("behaviour", "code"), [("exit:6", 6), ("exit:0", 10)])
def test_passes_on_why_control_could_not_start(run: Run, behaviour: str, code: int) -> None:
    assert run.start(control=behaviour).leave()[0] == code


def test_control_killed_before_it_was_ready_ends_the_start(run: Run) -> None:
    run.start(control="unready")
    os.kill(int(run.wait_for(r"control started (\d+) .*")[1]), signal.SIGKILL)
    code, log = run.leave()
    assert code == 10
    assert golden("supervisor.control_died") in log


def test_a_control_that_cannot_be_started_ends_the_start(run: Run) -> None:
    code, log = run.start(control="unstartable").leave()
    assert code == 10
    assert "control cannot be started: [Errno 2]" in log
    assert "Traceback" not in log


def test_workers_that_cannot_be_started_are_tried_again_and_do_not_keep_a_stop(run: Run) -> None:
    run.start(worker="unstartable").wait_for("control started .*")
    assert run.process
    assert run.process.stderr
    lines = [run.process.stderr.readline() for _ in range(3)]
    assert any("worker 0 cannot be started: [Errno 2]" in line and "next try in" in line for line in lines), lines
    run.send(signal.SIGTERM)
    run.wait_for("control SIGTERM draining")
    code, log = run.leave()
    assert code == 0
    assert "Traceback" not in log


def test_sigterm_during_the_start_leaves_with_0(run: Run) -> None:
    run.start(control="unready").wait_for("control started .*")
    run.send(signal.SIGTERM)
    run.wait_for("control SIGTERM draining")
    assert run.leave()[0] == 0


def test_sighup_hands_on_good_settings_and_names_what_needs_a_restart(run: Run) -> None:
    run.start().serving()
    run.write(workers=3, confirm=2.5)
    run.send(signal.SIGHUP)
    for name in ("worker 0", "worker 1"):
        run.wait_for(rf"{name} SIGHUP 2\.5 unseen")
    run.wait_for(r"control SIGHUP 2\.5 2")
    run.send(signal.SIGTERM)
    assert golden("supervisor.needs_restart") in run.leave()[1]


def test_each_of_many_reloads_reaches_a_child_and_one_that_was_born_between(run: Run) -> None:
    run.start().serving()
    pid = int(run.wait_for(STARTED.format(0, 1))[1])
    for number in range(1, 16):
        run.write(confirm=number)
        run.send(signal.SIGHUP)
        for name in ("worker 1", "control"):
            run.wait_for(rf"{name} SIGHUP {number}\.0 .*")
    os.kill(pid, signal.SIGKILL)
    run.wait_for(STARTED.format(0, 2))
    run.write(confirm=33.0)
    run.send(signal.SIGHUP)
    run.wait_for(r"worker 0 SIGHUP 33\.0 unseen")
    run.send(signal.SIGTERM)
    assert run.leave()[0] == 0


def test_sighup_adds_a_service_in_control_first_and_removes_it_from_the_workers_first(run: Run) -> None:
    run.start().serving()
    run.write(services=("new",))
    run.send(signal.SIGHUP)
    assert run.wait_for(r"(\S+ ?\d?) services (.*)").groups() == ("control", "default=0 new=1")
    for name in ("worker 0", "worker 1"):
        run.wait_for(f"{name} services default=0 new=1")
    run.write()
    run.send(signal.SIGHUP)
    for name in ("worker 0", "worker 1"):
        run.wait_for(f"{name} services default=0")
    run.wait_for("control services default=0 new=1 new")
    run.wait_for("control services default=0")
    run.write(services=("other",))
    run.send(signal.SIGHUP)
    run.wait_for("worker 0 services default=0 other=1")
    run.send(signal.SIGTERM)
    code, log = run.leave()
    assert code == 0
    assert "ended; place 2 of 64" in log


def test_services_come_and_go_although_children_are_killed_in_between(run: Run) -> None:
    run.start().serving()
    control, worker = (int(run.wait_for(pattern)[1]) for pattern in (r"control started (\d+) .*", STARTED.format(0, 1)))
    os.kill(control, signal.SIGKILL)
    run.write(services=("new",))
    run.send(signal.SIGHUP)
    argument = run.wait_for(r"control started \d+ (.*)")[1]
    assert json.loads(argument)["settings_fd"] > 0
    run.wait_for("worker 1 services default=0 new=1")
    os.kill(worker, signal.SIGKILL)
    run.write()
    run.send(signal.SIGHUP)
    run.wait_for("worker 1 services default=0")
    run.wait_for(STARTED.format(0, 2))
    run.wait_for("control services default=0")
    run.send(signal.SIGTERM)
    code, log = run.leave()
    assert code == 0
    assert "service new has ended" in log


def test_what_control_refuses_reaches_no_worker(run: Run) -> None:
    run.start(control="refusing").serving()
    run.write(services=("new",))
    run.send(signal.SIGHUP)
    run.wait_for("control services default=0 new=1")
    run.wait_for("control services default=0")
    run.send(signal.SIGTERM)
    code, log = run.leave()
    assert code == 0
    assert golden("reload.refused") in log
    assert not [line for line in run.unread() if line.startswith("worker") and "services" in line]


def test_sighup_with_a_bad_file_changes_nothing(run: Run) -> None:
    run.start().serving()
    run.settings.write_text("wrokers = 2")
    run.send(signal.SIGHUP)
    run.send(signal.SIGTERM)
    assert run.wait_for(r"worker 0 (.*)")[1].startswith("started")
    assert run.wait_for(r"worker 0 (.*)")[1] == "SIGTERM draining", "no SIGHUP in between"
    code, log = run.leave()
    assert code == 0
    assert golden("reload.bad_setting", settings=run.settings) in log


def test_children_see_the_supervisor_die_and_a_successor_takes_over(run: Run) -> None:
    run.start().serving()
    run.send(signal.SIGKILL)
    for name in ("worker 0", "worker 1", "control"):
        run.wait_for(f"{name} sees that the supervisor is gone")
    run.leave()
    run.start().serving()
    run.send(signal.SIGTERM)
    assert run.leave()[0] == 0


def test_a_second_router_on_the_same_state_is_refused(run: Run) -> None:
    run.start().serving()
    assert run.process
    owner, first = run.process.pid, run.process
    assert run.start().leave() == (
        5,
        golden("state.in_use_by_other", folder=run.folder, owner=owner),
    )
    first.terminate()
    first.communicate(timeout=20)
    assert first.returncode == 0
