"""How a request can end that did not succeed."""

from __future__ import annotations


class ApiError(Exception):
    """The daemon's answer was no. `code` is stable; `transient`: the same intent, said anew, may succeed later."""

    def __init__(self, code: str, message: str, *, transient: bool, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.transient = transient
        self.status = status


class Unreachable(Exception):
    """No answer within the deadline. A write may have happened: ask for it by its id, or send the same again."""
