"""The new router's side of `run --take-over`; old_router.py has the table of steps and the theory.

The new router starts its control before it requests the journal. Control loads its modules and waits for the lock. The admin
API therefore does not answer only while the old control ends and the new one reads the journal.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any, Protocol

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime import clock
from router.runtime.failpoint import FailPoint
from router.runtime.inlets import within
from router.supervisor.takeover import channel
from router.supervisor.takeover.old_router import ASK_TIMEOUT_S, PROTOCOL, SOCKET_NAME, TAKE_OVER_TIMEOUT_S

log = logging.getLogger(__name__)


class NewSupervisor(Protocol):
    """The methods of the new supervisor that a take-over needs."""

    def control_ready(self) -> bool:
        """Return whether control waits for the lock."""

    def lock(self) -> bool:
        """Try to lock the state; on success control continues."""

    def serving(self) -> bool:
        """Return whether every worker serves."""

    def open_inlets(self) -> None:
        """Receive client connections of the old router from now on."""

    def take_ownership(self) -> None:
        """Own the sockets: the old router has given them up."""


class NewRouter:
    """A connection to the router that serves from `folder`. `sockets` are its data sockets, then the admin's."""

    def __init__(self, folder: Path, fail_point: FailPoint, inlets: int = 0) -> None:
        """Request the sockets, and send the token of this router's inlets (0: none); raise StartError if there is no old
        router, or if it refuses.
        """
        self._step = "offered"
        self._fail_point = fail_point
        self._since_ns = self._requested_ns = clock.now_ns()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.settimeout(ASK_TIMEOUT_S)
        try:
            with within(folder) as short_path:
                self._sock.connect(f"{short_path}/{SOCKET_NAME}")
            foreign = channel.peer(self._sock)[1] != os.getuid()
            if not foreign:
                self._send("ask", protocol=PROTOCOL, inlets=inlets)
            received = None if foreign else channel.receive(self._sock)
        except TimeoutError:
            self.close()
            raise _failed(f"it did not answer within {ASK_TIMEOUT_S:g} s") from None
        except (OSError, ValueError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise StartError(
                StartCode.NOTHING_TO_TAKE_OVER,
                f"no router can be taken over at {folder} ({reason}): leave --take-over out, or name its --state-dir",
            ) from None
        message, descriptors = received or ({}, [])
        self.sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if message.get("say") != "offer" or len(self.sockets) < 2:
            self.close()
            for sock in self.sockets:
                sock.close()
            raise _failed("it runs as another user" if foreign else message.get("why", "it hung up"))
        self.offer: dict[str, Any] = message
        self._sock.setblocking(False)
        fail_point.hit("take_over.offered")

    @property
    def descriptors(self) -> list[int]:
        """The descriptors to wait for: one of them is readable when `tick` has something to do."""
        return [self._sock.fileno()] if self._sock.fileno() >= 0 else []

    @property
    def done(self) -> bool:
        """Whether the take-over is complete."""
        return self._step == "done"

    def tick(self, new: NewSupervisor, now_ns: int) -> None:
        """Take the next step if it is due; raise StartError if the old router refuses, or if a step takes too long."""
        answer = self._received()
        if self._step == "offered" and new.control_ready():
            self._send("ready")
            self._go("ready", now_ns)
        elif self._step == "ready" and answer in ("released", "dead"):
            self._go("released", now_ns)  # if the old router is dead, the lock is free once its control has ended, too
        if self._step == "released" and new.lock():
            self._go("locked", now_ns)
        elif self._step == "locked" and new.serving():
            self._go("serving", now_ns)
            new.open_inlets()
            self._send("serving")
        elif self._step == "serving" and answer in ("yours", "dead"):
            log.info("taken over from process %s within %.2f s", self.offer["pid"], (now_ns - self._requested_ns) / 1e9)
            self._go("done", now_ns)
            self.close()
            new.take_ownership()
        if self._step != "done" and now_ns - self._since_ns > TAKE_OVER_TIMEOUT_S * 1e9:
            raise _failed(f"step {self._step} took more than {TAKE_OVER_TIMEOUT_S:g} s")

    def close(self) -> None:
        """Close the connection. If the take-over is not `done`, the old router continues."""
        self._sock.close()

    def _received(self) -> str | None:
        """Return `released`, `yours`, or `dead` if the old router closed the connection without a message; None if there is
        nothing.
        """
        if self._step == "done":
            return None
        try:
            received = channel.receive(self._sock)
        except BlockingIOError:
            return None
        except (OSError, ValueError):
            received = None
        if received is None:
            return "dead"
        if received[0].get("say") == "refused":
            raise _failed(str(received[0].get("why")))
        return str(received[0].get("say"))

    def _send(self, step: str, **more: int) -> None:
        try:
            channel.send(self._sock, {"say": step, **more})
        except OSError:  # the old router is dead, which the next `tick` notices
            pass

    def _go(self, step: str, now_ns: int) -> None:
        log.info("take-over: %s after %.2f s", step, (now_ns - self._requested_ns) / 1e9)
        self._step, self._since_ns = step, now_ns
        self._fail_point.hit(f"take_over.{step}")


def _failed(reason: str) -> StartError:
    return StartError(StartCode.TAKE_OVER_FAILED, f"the old router was not taken over and goes on: {reason}")
