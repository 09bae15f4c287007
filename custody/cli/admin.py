"""One request over the daemon's unix socket, by the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from custody.cli.context import Exit, fail

TIMEOUT_SECONDS = 15.0
"""For an answer: longer than the daemon takes for anything but a reconciliation, shorter than a person's patience."""
MAX_ANSWER = 64 * 1024 * 1024

_NEEDS_APPROVAL = ("needs_signature", "hold_not_yours", "role_may_not")
"""Refusals that another person, or a person's own key, can turn into a yes."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("custodyd", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Unreachable(Exception):
    """Nobody answers at the socket."""


def call(
    path: Path, method: str, target: str, body: bytes | None = None, seconds: float = TIMEOUT_SECONDS
) -> tuple[int, Any]:
    """(status, decoded body). Raises `Unreachable`."""
    connection = _Connection(path, seconds)
    headers = {} if body is None else {"Content-Type": "application/json"}
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read(MAX_ANSWER))
    except FileNotFoundError as exc:
        raise Unreachable(f"there is no socket at {path}: is custodyd running, and is --socket right?") from exc
    except PermissionError as exc:
        raise Unreachable(f"{path} may not be opened by this user: join the group that owns it") from exc
    except ConnectionRefusedError as exc:
        raise Unreachable(f"nobody listens at {path}: custodyd is not running") from exc
    except TimeoutError as exc:
        raise Unreachable(f"no answer from {path} within {seconds:g} s; what was asked may have happened") from exc
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise Unreachable(f"no sensible answer from {path}: {exc}") from exc
    finally:
        connection.close()


def ask(path: Path, method: str, target: str, value: object = None, seconds: float = TIMEOUT_SECONDS) -> Any:
    """The answer of a request that succeeds; everything else ends the program with its exit code."""
    body = None if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        status, answer = call(path, method, target, body, seconds)
    except Unreachable as exc:
        fail(Exit.UNREACHABLE, str(exc))
    if status >= 400:
        refuse(answer)
    return answer


def refuse(answer: Any) -> None:
    """End the program with a refusal of the daemon."""
    error = answer.get("error", {}) if isinstance(answer, Mapping) else {}
    code = str(error.get("code", "unknown"))
    fail(
        Exit.NEEDS_APPROVAL if code in _NEEDS_APPROVAL else Exit.REFUSED,
        f"refused: {code}: {error.get('message', 'the daemon gave no reason')}",
    )


def target(path: str, **query: object) -> str:
    """A request target with what of the query is not empty."""
    given = {name: str(value) for name, value in query.items() if value not in ("", None)}
    return path + ("?" + urlencode(given) if given else "")


def part(text: str) -> str:
    """An id as a part of a path, whatever is in it."""
    return quote(text, safe="")
