"""A child of the supervisor for tests: it beats, and reports each event to a datagram socket.

    python -m tests.fake_child REPORT_SOCKET control|worker BEHAVIOUR BOOT_JSON

Behaviours: `steady`; `exit:N` leaves at once with N; `unready` (control) never becomes ready; `mute-once` beats once in its
first life and never again; `busy` (worker) has one exchange in flight and ignores SIGTERM; `slow` goes on for 20 rounds
after it;
`refusing` (control) refuses all settings but the first;
`watchful` (worker) reports when shared memory says that the router is draining.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys

from router.runtime import child_args, clock
from router.shm import layout, segment, settings_memory
from router.supervisor.signals import Signals


def main() -> int:
    report_path, kind, behaviour, argument = sys.argv[1:]
    report = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    report.connect(report_path)
    given = child_args.decode(child_args.ControlArgs if kind == "control" else child_args.WorkerArgs, argument)
    name = "control" if kind == "control" else f"worker {given.index}"

    def tell(*what: object) -> None:
        report.send(" ".join([name, *map(str, what)]).encode())

    if behaviour.startswith("exit:"):
        return int(behaviour.removeprefix("exit:"))
    memory = segment.attach(given.segment_fd)
    if kind == "control":
        beat, starts = layout.H_CONTROL_HEARTBEAT_NS, memory.words[layout.H_CONTROL_STARTS]
    else:
        row = memory.layout.worker(given.index)
        beat, starts = row + layout.W_HEARTBEAT_NS, memory.words[row + layout.W_STARTS]
    if behaviour == "busy":
        memory.words[memory.layout.worker_service(given.index, 0) + layout.LS_ACCEPTED] += 1
    first = settings_memory.decode(settings_memory.read(given.settings_fd)).number
    memory.words[layout.H_CONTROL_DOCUMENT if kind == "control" else row + layout.W_LEFT] = first
    rounds_left, watching = -1, behaviour == "watchful"
    with Signals() as signals:
        if kind == "control" and behaviour != "unready":
            memory.words[layout.H_CONTROL_READY] = 1
        memory.words[beat] = clock.now_ns()
        tell("started", os.getpid(), argument if kind == "control" else starts)
        while True:
            if not (behaviour == "mute-once" and starts == 1):
                memory.words[beat] = clock.now_ns()
            if select.select([given.life_fd], [], [], 0)[0]:
                tell("sees that the supervisor is gone")
                return 0
            if watching and memory.words[layout.H_DRAINING]:
                watching = False
                tell("is not ready any more")
            if rounds_left == 0:
                tell("leaves")
                return 0
            rounds_left -= 1
            for number in signals.wait(0.02):
                if number == signal.SIGHUP:
                    settings_memory.receive(given.updates_fd, given.settings_fd)
                    delivery = settings_memory.decode(settings_memory.read(given.settings_fd))
                    settings = json.loads(delivery.settings)
                    places = {name: place.number for name, place in sorted(delivery.places.items())}
                    tell("services", *(f"{name}={number}" for name, number in places.items()), *delivery.leaving)
                    if kind == "control":
                        refuses = behaviour == "refusing" and delivery.version > 1
                        memory.words[layout.H_CONTROL_REFUSED if refuses else layout.H_CONTROL_DOCUMENT] = (
                            delivery.number
                        )
                    else:
                        memory.words[row + layout.W_LEFT] = delivery.number
                    tell("SIGHUP", settings["timeouts"]["confirm_timeout_s"], settings.get("workers", "unseen"))
                elif number == signal.SIGTERM:
                    shared = ", the port is shared" if memory.words[layout.H_PORT_SHARED] else ""
                    tell("SIGTERM", ("draining" if memory.words[layout.H_DRAINING] else "serving") + shared)
                    if behaviour == "slow":
                        rounds_left = 20
                    elif behaviour != "busy":
                        return 0


if __name__ == "__main__":
    sys.exit(main())
