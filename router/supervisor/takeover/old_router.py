"""The old router's side of `run --take-over`: it hands its sockets and the journal to a new one, or goes on as if nothing was.

    step      the old one (here)                        the new one (take_over.py)                 may write the journal
    --------  ----------------------------------------  -----------------------------------------  ---------------------
    ask       looks who asks; gives the sockets away    starts its control, which only loads       old control
    ready     stops its control: changes under way end, says that it is loaded                     old control, till gone
              everything is on the disk
    released  gives the state's lock up                 takes the lock, lets control go on, starts new control, from the
                                                        workers on the same sockets                lock on
    serving   its workers stop accepting                every worker beats: it says so             new control
    yours     they begin no request any more, finish    owns the sockets, and allows changes of    new control
              what they have, and it leaves             the route from here on

Theory. Who writes the journal is decided by one flock, which a control holds for as long as it lives (it inherits the
descriptor): there are never two, whoever is killed when. Requests are never without a worker: the old ones accept until the new
ones do, from the very same sockets, which nobody closes; so no queue is ever lost. Until `serving` the old router can go on: it
takes the lock back, which it gets when the new control is gone at the latest, and starts control on its living workers from the
journal, as after a restart, so that what the new one has acknowledged meanwhile stays true. The end of the connection without a
word means that the other side is dead: the old one then goes on, and so does the new one, which has the sockets.
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

DOOR: Final = "handover"
PROTOCOL: Final = 1
ASK_TIMEOUT_S: Final = 5.0
FINISH_TIMEOUT_S: Final = 15.0
"""What clients on idle connections get at most before the new router may change the route."""
TAKE_OVER_TIMEOUT_S: Final = 30.0
"""What a new router gets for each of its steps; then it is killed and the old one goes on."""


class Old(Protocol):
    """What the old supervisor can do."""

    def refusal(self) -> str | None:
        """Return why it cannot hand over now, None if it can."""

    def offer(self, inlets: int) -> tuple[dict[str, Any], list[int]]:
        """Return what the new one has to know, and the sockets; from now on they are shared. `inlets`: the token of those through
        which it takes over connections (inlets.py); 0 if it has none.
        """

    def halt_control(self) -> None:
        """Have control leave."""

    def control_ended(self) -> int | None:
        """Return its exit code once it has; 0: everything is in the journal."""

    def release(self) -> None:
        """Give up the lock of the state."""

    def retake(self) -> bool:
        """Try to take it back."""

    def resume(self, *, from_journal: bool) -> None:
        """Go on: the sockets are ours alone again, and control starts, with what is in the journal or in the wall."""

    def hand_over(self, successor: int) -> None:
        """Nothing is ours any more: finish what has begun and leave."""

    def workers_drained(self) -> bool:
        """Return whether no worker begins a request any more."""


class OldRouter:
    """One door, one new router at a time. `tick` never blocks."""

    def __init__(self, folder: Path, old: Old, fail_point: FailPoint) -> None:
        """Open the door in the state directory, whose lock we hold: what is there is stale."""
        self._old = old
        self._fail_point = fail_point
        self._path = folder / DOOR
        self._step = "idle"
        self._due_ns = 0
        self._new: socket.socket | None = None
        self._pidfd = -1
        self._pid = 0
        self._self = os.getuid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._path.unlink(missing_ok=True)
        with within(folder) as short:
            unix_socket.bind_with_mode(self._socket, f"{short}/{DOOR}", 0o600)
        self._identity = unix_socket.identity(str(self._path))
        self._socket.listen(4)

    @property
    def descriptors(self) -> list[int]:
        """What has something to read when there is something to do."""
        if self.over:
            return []
        return [sock.fileno() for sock in (self._socket, self._new) if sock is not None]

    @property
    def over(self) -> bool:
        """Whether another router owns everything now."""
        return self._step in ("finishing", "over")

    def tick(self, now_ns: int) -> None:
        """Look who came, what he said, and what has become due."""
        self._accept(now_ns)
        if self._new is not None and not self.over:
            self._listen(now_ns)
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

    def abort(self, why: str) -> None:
        """The old router was told to stop: there is nothing to hand over any more."""
        if not self.over:
            self._refuse(why)

    def close(self) -> None:
        """Shut the door; a successor's stays."""
        self._disconnect()
        if not self.over:
            unix_socket.remove(str(self._path), self._identity)
        self._socket.close()

    # -- what comes in
    def _accept(self, now_ns: int) -> None:
        if self.over:
            return
        try:
            came, _ = self._socket.accept()
        except BlockingIOError:
            return
        pid, uid = channel.peer(came)
        if uid != self._self or self._new is not None or self._step != "idle":
            why = "another take-over is under way" if uid == self._self else f"user {uid} is not user {self._self}"
            log.warning("take-over by process %d refused: %s", pid, why)
            _say(came, {"say": "refused", "why": why})
            _drain(came)
            came.close()
            return
        came.setblocking(False)
        self._new, self._pid, self._step = came, pid, "asked"
        self._due_ns = now_ns + round(ASK_TIMEOUT_S * 1e9)
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            self._pidfd = -1

    def _listen(self, now_ns: int) -> None:
        assert self._new is not None
        try:
            got = channel.receive(self._new)
        except BlockingIOError:
            return
        except ValueError as error:
            got = None
            log.warning("take-over by process %d: %s", self._pid, error)
        if got is None:
            self._gone()
            return
        message, descriptors = got
        for descriptor in descriptors:  # nobody has anything to give us
            os.close(descriptor)
        said = message.get("say")
        self._due_ns = now_ns + round(TAKE_OVER_TIMEOUT_S * 1e9)
        if self._step == "asked" and said == "ask" and message.get("protocol") == PROTOCOL:
            self._offer(message.get("inlets"))
        elif self._step == "offered" and said == "ready":
            log.info("take-over by process %d: it is ready, control leaves", self._pid)
            self._old.halt_control()
            self._step = "halting"
            self._fail_point.hit("handover.halting")
        elif self._step == "released" and said == "serving":
            self._fail_point.hit("handover.serving")
            log.info("take-over: process %d serves; finishing what has begun here", self._pid)
            self._step, self._due_ns = "finishing", now_ns + round(FINISH_TIMEOUT_S * 1e9)
            self._old.hand_over(self._pid)
        else:
            self._give_up(f"{said!r} is not what it should say now")

    # -- steps
    def _offer(self, inlets: object) -> None:
        assert self._new is not None
        if why := self._old.refusal():
            self._refuse(why)
            self._step = "idle"
            return
        told, descriptors = self._old.offer(inlets if isinstance(inlets, int) and 0 < inlets < TOKEN_MAX else 0)
        self._step = "offered"
        try:
            channel.send(self._new, {"say": "offer", "pid": os.getpid(), **told}, descriptors)
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
            _say(self._new, {"say": "released"})
            self._fail_point.hit("handover.released")
        else:
            self._refuse("control did not leave with everything in the journal: look at the old router's log")
            self._resume(from_journal=False)

    def _finished(self) -> None:
        if self._new is not None:
            _say(self._new, {"say": "yours"})
        self._step = "over"
        self._disconnect()
        self._socket.close()

    def _gone(self) -> None:
        """The new one has left, or died."""
        log.warning("take-over by process %d: it is gone at step %s; going on here", self._pid, self._step)
        self._disconnect()
        if self._step == "offered":
            self._resume(from_journal=False)
        elif self._step == "released":
            self._step = "resuming"
        elif self._step == "asked":
            self._step = "idle"

    def _give_up(self, why: str) -> None:
        log.error("take-over by process %d is given up at step %s: %s", self._pid, self._step, why)
        if self._new is not None:
            _say(self._new, {"say": "refused", "why": why})
        if self._step == "released" and self._pidfd >= 0:  # it may hold the lock, and never let go of it
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._gone()

    def _refuse(self, why: str) -> None:
        if self._new is not None:
            log.warning("take-over by process %d refused: %s", self._pid, why)
            _say(self._new, {"say": "refused", "why": why})
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


def _say(sock: socket.socket, message: channel.Message) -> None:
    """Say it to whoever still listens; who does not is noticed when we listen."""
    try:
        channel.send(sock, message)
    except OSError:
        pass


def _drain(sock: socket.socket) -> None:
    """Take what has come: closed upon it, the other side would not get what we said."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except OSError:
        pass
