"""What a service tells systemd: that it is ready, that it is stopping, that it is alive (sd_notify(3)).

The protocol is one datagram to the socket named in the environment; without that socket nothing is said to anyone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """The way to the service manager. A message that can't be delivered is dropped: the manager notices silence."""

    __slots__ = ("_address", "watchdog_seconds")

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is the process' own by default."""
        given = os.environ if environment is None else environment
        address = given.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = _watchdog(given)
        """How often `watchdog` must be called at least, already halved for safety; None when nobody waits for it."""

    def ready(self) -> None:
        """Everything is started."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """Still alive, and doing its work."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows."""
        self._send(f"STATUS={' '.join(text.split())}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as way:
            try:
                way.sendto(message.encode(), self._address)
            except OSError:
                return


def _watchdog(environment: Mapping[str, str]) -> float | None:
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (text.isascii() and text.isdigit()) or (pid and pid != str(os.getpid())):
        return None
    return int(text) / 2_000_000 or None
