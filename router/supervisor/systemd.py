"""Reports the router's state to systemd: datagrams to $NOTIFY_SOCKET (sd_notify(3)). Does nothing without that variable."""

from __future__ import annotations

import socket


class Notifier:
    """`watchdog_every_s` is the interval of WATCHDOG=1; None without systemd's watchdog."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """`address` is a path, or an abstract name after `@`; `watchdog_s` the timeout of systemd's watchdog."""
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self.watchdog_every_s = watchdog_s / 2 if watchdog_s and address else None

    def send(self, *lines: str) -> None:
        """Send e.g. `READY=1`, `STATUS=…`; errors are ignored."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                pass
