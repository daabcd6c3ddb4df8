"""The new router's side of `run --take-over`; handover.py has the table of steps and its theory.

It starts its control before it asks for the journal: control loads what it needs and waits for the lock, so the admin API is
without an answer only while one process leaves and the other reads the journal.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any, Final, Protocol

from router.errors import StartError
from router.runtime import clock
from router.runtime.failpoint import FailPoint
from router.runtime.inlets import within
from router.supervisor.takeover import channel
from router.supervisor.takeover.old_router import ASK_TIMEOUT_S, DOOR, PROTOCOL, TAKE_OVER_TIMEOUT_S

log = logging.getLogger(__name__)

EXIT_STATE: Final = 5


class New(Protocol):
    """What the new supervisor can do."""

    def control_ready(self) -> bool:
        """Return whether control waits for the lock."""

    def lock(self) -> bool:
        """Try to lock the state; on success control goes on."""

    def serving(self) -> bool:
        """Return whether every worker serves."""

    def open_inlets(self) -> None:
        """Take over connections of clients from now on."""

    def take_ownership(self) -> None:
        """The sockets are ours alone."""


class NewRouter:
    """A connection to the router that serves from `folder`. `sockets` are its data sockets, then the admin's."""

    def __init__(self, folder: Path, fail_point: FailPoint, inlets: int = 0) -> None:
        """Ask for the sockets, and say by which token our inlets are found (0: we have none); raise StartError (5) if there is no
        router, or if it refuses.
        """
        self._step = "offered"
        self._fail_point = fail_point
        self._since_ns = self._requested_ns = clock.now_ns()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.settimeout(ASK_TIMEOUT_S)
        try:
            with within(folder) as short:
                self._sock.connect(f"{short}/{DOOR}")
            foreign = channel.peer(self._sock)[1] != os.getuid()
            if not foreign:
                self._send("ask", protocol=PROTOCOL, inlets=inlets)
            got = None if foreign else channel.receive(self._sock)
        except TimeoutError:
            self.close()
            raise _failed(f"it did not answer within {ASK_TIMEOUT_S:g} s") from None
        except (OSError, ValueError) as error:
            self.close()
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise StartError(
                "nothing_to_take_over",
                f"no router can be taken over at {folder} ({why}): leave --take-over out, or name its --state-dir",
                EXIT_STATE,
            ) from None
        message, descriptors = got or ({}, [])
        self.sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if message.get("say") != "offer" or len(self.sockets) < 2:
            self.close()
            for sock in self.sockets:
                sock.close()
            raise _failed("it runs as another user" if foreign else message.get("why", "it hung up"))
        self.notified: dict[str, Any] = message
        self._sock.setblocking(False)
        fail_point.hit("take_over.offered")

    @property
    def descriptors(self) -> list[int]:
        """What has something to read when there is something to do."""
        return [self._sock.fileno()] if self._sock.fileno() >= 0 else []

    @property
    def done(self) -> bool:
        """Whether everything is ours."""
        return self._step == "done"

    def tick(self, new: New, now_ns: int) -> None:
        """Go one step on if it is time; raise StartError (5) if the old router refuses, or if a step takes too long."""
        heard = self._received()
        if self._step == "offered" and new.control_ready():
            self._send("ready")
            self._go("ready", now_ns)
        elif self._step == "ready" and heard in ("released", "dead"):
            self._go("released", now_ns)  # of a dead one the lock waits until its control has gone, too
        if self._step == "released" and new.lock():
            self._go("locked", now_ns)
        elif self._step == "locked" and new.serving():
            self._go("serving", now_ns)
            new.open_inlets()
            self._send("serving")
        elif self._step == "serving" and heard in ("yours", "dead"):
            log.info(
                "taken over from process %s within %.2f s", self.notified["pid"], (now_ns - self._requested_ns) / 1e9
            )
            self._go("done", now_ns)
            self.close()
            new.take_ownership()
        if self._step != "done" and now_ns - self._since_ns > TAKE_OVER_TIMEOUT_S * 1e9:
            raise _failed(f"step {self._step} took more than {TAKE_OVER_TIMEOUT_S:g} s")

    def close(self) -> None:
        """Hang up. Before `done` the old router then goes on."""
        self._sock.close()

    def _received(self) -> str | None:
        """Return `released`, `yours`, or `dead` once the old router has hung up without a word."""
        if self._step == "done":
            return None
        try:
            got = channel.receive(self._sock)
        except BlockingIOError:
            return None
        except (OSError, ValueError):
            got = None
        if got is None:
            return "dead"
        if got[0].get("say") == "refused":
            raise _failed(str(got[0].get("why")))
        return str(got[0].get("say"))

    def _send(self, what: str, **more: int) -> None:
        try:
            channel.send(self._sock, {"say": what, **more})
        except OSError:  # it is dead, which the next look tells
            pass

    def _go(self, step: str, now_ns: int) -> None:
        log.info("take-over: %s after %.2f s", step, (now_ns - self._requested_ns) / 1e9)
        self._step, self._since_ns = step, now_ns
        self._fail_point.hit(f"take_over.{step}")


def _failed(why: str) -> StartError:
    return StartError("take_over_failed", f"the old router was not taken over and goes on: {why}", EXIT_STATE)
