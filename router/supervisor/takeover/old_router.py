"""The old router's side of `run --take-over`: it hands its sockets and the journal to a new router, or continues unchanged.

    step      the old router (here)                     the new router (new_router.py)             may write the journal
    --------  ----------------------------------------  -----------------------------------------  ---------------------
    ask       checks the peer; sends the sockets        starts its control, which only loads       old control
    ready     stops its control: changes in progress    reports that its control has loaded        old control, until
              end, everything is on the disk                                                       it has ended
    released  releases the lock of the state            takes the lock, lets control continue,     new control, from the
                                                        starts workers on the same sockets         lock on
    serving   its workers stop accepting                reports that every worker has a heartbeat  new control
    yours     its workers start no more requests and    owns the sockets, and permits changes of   new control
              finish those in flight; it exits          the route from now on

Theory:
1. One flock decides which control writes the journal. A control holds the lock as long as it lives, because it inherits the
   descriptor. So there are never two writers, also if a process is killed.
2. There is always a worker that accepts. The old workers accept until the new ones do, from the same sockets, which stay open;
   so no connection in a queue is lost.
3. Until `serving` the old router can continue. It takes the lock again, at the latest when the new control has ended. It then
   starts control from the journal while its workers run, as after a restart: everything that the new router has acknowledged
   stays true.
4. If the connection ends without a message, the other side is dead. The old router then continues; the new router continues,
   too, if it has the sockets.

Why: docs/decisions.md#a-take-over-moves-sockets-and-a-lock.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from pathlib import Path
from typing import Any, Final, Protocol

from router.runtime.failpoint import FailPoint
from router.runtime.inlets import TOKEN_MAX, within
from router.supervisor import unix_socket
from router.supervisor.takeover import channel

log = logging.getLogger(__name__)

SOCKET_NAME: Final = "handover"
PROTOCOL: Final = 1
ASK_TIMEOUT_S: Final = 5.0
FINISH_TIMEOUT_S: Final = 15.0
"""Longest wait for clients on idle connections before the new router may change the route."""
TAKE_OVER_TIMEOUT_S: Final = 30.0
"""Timeout of each step of the new router; then it is killed, and the old router continues."""


class OldSupervisor(Protocol):
    """The methods of the old supervisor that a take-over needs."""

    def refusal(self) -> str | None:
        """Return why it cannot be taken over now, None if it can."""

    def offer(self, inlets: int) -> tuple[dict[str, Any], list[int]]:
        """Return the details for the new router, and the sockets, which are shared from now on. `inlets`: the token of the new
        router's inlets (runtime/inlets.py); 0 if it has none.
        """

    def halt_control(self) -> None:
        """Stop control."""

    def control_ended(self) -> int | None:
        """Return the exit code of the stopped control, None while it runs; 0: everything is in the journal."""

    def release(self) -> None:
        """Release the lock of the state."""

    def retake(self) -> bool:
        """Try to lock the state again."""

    def resume(self, *, from_journal: bool) -> None:
        """Continue as the only router, and start control from the journal or from shared memory."""

    def hand_over(self, successor: int) -> None:
        """Give up everything to the successor: finish the requests in flight and exit."""

    def workers_drained(self) -> bool:
        """Return whether every worker has stopped starting requests."""


class OldRouter:
    """A socket in the state directory that serves one new router at a time. `tick` never blocks."""

    def __init__(self, folder: Path, old: OldSupervisor, fail_point: FailPoint) -> None:
        """Listen in the state directory. The caller holds its lock, so an existing socket is stale."""
        self._old = old
        self._fail_point = fail_point
        self._path = folder / SOCKET_NAME
        self._step = "idle"
        self._due_ns = 0
        self._new: socket.socket | None = None
        self._pidfd = -1
        self._pid = 0
        self._uid = os.getuid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._path.unlink(missing_ok=True)
        with within(folder) as short_path:
            unix_socket.bind_with_mode(self._socket, f"{short_path}/{SOCKET_NAME}", 0o600)
        self._identity = unix_socket.identity(str(self._path))
        self._socket.listen(4)

    @property
    def descriptors(self) -> list[int]:
        """The descriptors to wait for: one of them is readable when `tick` has something to do."""
        if self.over:
            return []
        return [sock.fileno() for sock in (self._socket, self._new) if sock is not None]

    @property
    def is_idle(self) -> bool:
        """Whether no take-over is under way: a readable descriptor is then the only cause for a `tick`."""
        return self._step == "idle"

    @property
    def over(self) -> bool:
        """Whether another router owns everything now."""
        return self._step in ("finishing", "over")

    def tick(self, now_ns: int) -> None:
        """Accept a connection, receive a message, and take the steps that are due."""
        self._accept(now_ns)
        if self._new is not None and not self.over:
            self._receive(now_ns)
        if self._step == "halting":
            self._halting(now_ns)
        elif self._step == "finishing":
            if self._old.workers_drained() or now_ns > self._due_ns:
                self._finished()
        elif self._step == "resuming" and self._old.retake():
            self._resume(from_journal=True)
        elif self._new is not None and now_ns > self._due_ns:
            limit_s = ASK_TIMEOUT_S if self._step == "asked" else TAKE_OVER_TIMEOUT_S
            self._give_up(f"it did not go on within {limit_s:g} s")

    def abort(self, reason: str) -> None:
        """Refuse the take-over: the old router is stopping."""
        if not self.over:
            self._refuse(reason)

    def close(self) -> None:
        """Close the socket, and remove its path unless the successor owns it."""
        self._disconnect()
        if not self.over:
            unix_socket.remove(str(self._path), self._identity)
        self._socket.close()

    # -- connections and messages
    def _accept(self, now_ns: int) -> None:
        if self.over:
            return
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return
        pid, uid = channel.peer(connection)
        if uid != self._uid or self._new is not None or self._step != "idle":
            reason = "another take-over is under way" if uid == self._uid else f"user {uid} is not user {self._uid}"
            log.warning("take-over by process %d refused: %s", pid, reason)
            _send(connection, {"say": "refused", "why": reason})
            _drain(connection)
            connection.close()
            return
        connection.setblocking(False)
        self._new, self._pid, self._step = connection, pid, "asked"
        self._due_ns = now_ns + round(ASK_TIMEOUT_S * 1e9)
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            self._pidfd = -1

    def _receive(self, now_ns: int) -> None:
        assert self._new is not None
        try:
            received = channel.receive(self._new)
        except BlockingIOError:
            return
        except ValueError as error:
            received = None
            log.warning("take-over by process %d: %s", self._pid, error)
        if received is None:
            self._gone()
            return
        message, descriptors = received
        for descriptor in descriptors:  # no message to the old router has descriptors
            os.close(descriptor)
        step = message.get("say")
        self._due_ns = now_ns + round(TAKE_OVER_TIMEOUT_S * 1e9)
        if self._step == "asked" and step == "ask" and message.get("protocol") == PROTOCOL:
            self._offer(message.get("inlets"))
        elif self._step == "offered" and step == "ready":
            log.info("take-over by process %d: it is ready, control leaves", self._pid)
            self._old.halt_control()
            self._step = "halting"
            self._fail_point.hit("handover.halting")
        elif self._step == "released" and step == "serving":
            self._fail_point.hit("handover.serving")
            log.info("take-over: process %d serves; finishing what has begun here", self._pid)
            self._step, self._due_ns = "finishing", now_ns + round(FINISH_TIMEOUT_S * 1e9)
            self._old.hand_over(self._pid)
        else:
            self._give_up(f"{step!r} is not the message of this step")

    # -- steps
    def _offer(self, inlets: object) -> None:
        assert self._new is not None
        if reason := self._old.refusal():
            self._refuse(reason)
            self._step = "idle"
            return
        details, descriptors = self._old.offer(inlets if isinstance(inlets, int) and 0 < inlets < TOKEN_MAX else 0)
        self._step = "offered"
        try:
            channel.send(self._new, {"say": "offer", "pid": os.getpid(), **details}, descriptors)
        except OSError:
            self._gone()

    def _halting(self, now_ns: int) -> None:
        status = self._old.control_ended()
        if status is None:
            return
        if status == 0 and self._new is not None:
            self._fail_point.hit("handover.halted")
            self._old.release()
            self._step, self._due_ns = "released", now_ns + round(TAKE_OVER_TIMEOUT_S * 1e9)
            _send(self._new, {"say": "released"})
            self._fail_point.hit("handover.released")
        else:
            self._refuse("control did not leave with everything in the journal: see the old router's log")
            self._resume(from_journal=False)

    def _finished(self) -> None:
        if self._new is not None:
            _send(self._new, {"say": "yours"})
        self._step = "over"
        self._disconnect()
        self._socket.close()

    def _gone(self) -> None:
        """Continue: the new router has closed the connection, or died."""
        log.warning("take-over by process %d: it is gone at step %s; going on here", self._pid, self._step)
        self._disconnect()
        if self._step == "offered":
            self._resume(from_journal=False)
        elif self._step == "released":
            self._step = "resuming"
        elif self._step == "asked":
            self._step = "idle"

    def _give_up(self, reason: str) -> None:
        log.error("take-over by process %d is given up at step %s: %s", self._pid, self._step, reason)
        if self._new is not None:
            _send(self._new, {"say": "refused", "why": reason})
        if self._step == "released" and self._pidfd >= 0:  # it may hold the lock for ever
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._gone()

    def _refuse(self, reason: str) -> None:
        if self._new is not None:
            log.warning("take-over by process %d refused: %s", self._pid, reason)
            _send(self._new, {"say": "refused", "why": reason})
        self._disconnect()

    def _resume(self, *, from_journal: bool) -> None:
        self._step = "idle"
        self._old.resume(from_journal=from_journal)

    def _disconnect(self) -> None:
        if self._new is not None:
            self._new.close()
            self._new = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _send(sock: socket.socket, message: channel.Message) -> None:
    """Send; a closed peer is detected by the next receive."""
    try:
        channel.send(sock, message)
    except OSError:
        pass


def _drain(sock: socket.socket) -> None:
    """Read pending data: a close with unread data would reset the connection, and the peer would lose the sent message."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except OSError:
        pass
