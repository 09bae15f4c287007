"""JSON-RPC as a fault needs it: which calls a body makes, what each was told, and the same body told otherwise.

Members stay raw where nobody looks at them, so what a lie doesn't touch leaves as it came. Single requests and batches
are the same thing here, but for their brackets.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

NULL = msgspec.Raw(b"null")
ABSENT = msgspec.Raw(b"")


class Asked(msgspec.Struct, frozen=True):
    """One call. `id` and `params` are raw JSON."""

    method: str
    id: msgspec.Raw = NULL
    params: msgspec.Raw = msgspec.Raw(b"[]")
    jsonrpc: str = "2.0"

    def arguments(self) -> list[object]:
        """The parameters by position; those by name, which no chain of ours uses, are none."""
        decoded = msgspec.json.decode(self.params)
        return decoded if isinstance(decoded, list) else []


class Question(msgspec.Struct, frozen=True):
    """All calls of one HTTP body, in their order."""

    calls: tuple[Asked, ...]
    batch: bool


class Said(msgspec.Struct, frozen=True):
    """What one call was told: exactly one of `result` and `error` is not `ABSENT`."""

    id: msgspec.Raw = NULL
    result: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT

    @property
    def refused(self) -> bool:
        """Whether the node answered with an error."""
        return bytes(self.error) not in {b"", b"null"}


Change = Callable[[Asked, Said], Said]
"""How a lie turns what the node said about a call into what the client hears."""

_QUESTION = msgspec.json.Decoder(Asked | list[Asked])
_SAID = msgspec.json.Decoder(Said | list[Said])


def read_question(body: bytes) -> Question | None:
    """The calls in a request body, None where it isn't JSON-RPC."""
    try:
        decoded = _QUESTION.decode(body)
    except msgspec.MsgspecError:
        return None
    if isinstance(decoded, list):
        return Question(calls=tuple(decoded), batch=True)
    return Question(calls=(decoded,), batch=False)


def write_question(question: Question) -> bytes:
    """The body that makes these calls."""
    return msgspec.json.encode(question.calls if question.batch else question.calls[0])


def told(asked: Asked, value: object) -> Said:
    """A result; `value` is encoded."""
    return Said(id=asked.id, result=msgspec.Raw(msgspec.json.encode(value)))


def refused(asked: Asked, code: int, message: str, data: object = None) -> Said:
    """An error."""
    shape: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        shape["data"] = data
    return Said(id=asked.id, error=msgspec.Raw(msgspec.json.encode(shape)))


def write_said(said: Said) -> bytes:
    """One response object."""
    member = b'"error":' + bytes(said.error) if said.refused else b'"result":' + (bytes(said.result) or b"null")
    return b'{"jsonrpc":"2.0","id":' + bytes(said.id) + b"," + member + b"}"


def write_all(question: Question, answers: list[Said]) -> bytes:
    """The body that answers a question."""
    if not question.batch:
        return write_said(answers[0])
    return b"[" + b",".join(write_said(one) for one in answers) + b"]"


def rewrite(question: Question, body: bytes, change: Change) -> bytes:
    """An answer's body with every response changed; as it was where it doesn't answer the question call by call."""
    try:
        decoded = _SAID.decode(body)
    except msgspec.MsgspecError:
        return body
    answers = decoded if isinstance(decoded, list) else [decoded]
    asked = {bytes(call.id): call for call in question.calls}
    if isinstance(decoded, list) is not question.batch or any(bytes(one.id) not in asked for one in answers):
        return body
    changed = [change(asked[bytes(one.id)], one) for one in answers]
    return body if changed == answers else write_all(question, changed)
