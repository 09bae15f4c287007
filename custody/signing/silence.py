"""No network, from inside: this process refuses to make any socket but a unix one, and to start any other program.

The kernel says the same by the unit's `RestrictAddressFamilies=AF_UNIX` and `SystemCallFilter`; this is for where the
signer runs without that unit, and against a library that means well. An audit hook (PEP 578) can't be taken off again.
"""

from __future__ import annotations

import socket
import sys

_FORBIDDEN = frozenset(
    (
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "pty.spawn",
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.getnameinfo",
        "subprocess.Popen",
    )
)
_WITH_SOCKET = frozenset(("socket.bind", "socket.connect", "socket.sendmsg", "socket.sendto"))


def silence() -> None:
    """From now on, for good: anything but unix sockets raises `PermissionError`, and so does starting a program."""
    sys.addaudithook(_judge)


def _judge(event: str, arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"the signer does not do this: {event}")
    if event == "socket.__new__" and arguments[1] not in (socket.AF_UNIX, -1):
        raise PermissionError("the signer has no network")
    if event in _WITH_SOCKET and getattr(arguments[0], "family", None) != socket.AF_UNIX:
        raise PermissionError("the signer has no network")
