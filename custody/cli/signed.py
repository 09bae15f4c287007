"""What a person signs with their own key: the payload is made here, and nobody else can make it."""

from __future__ import annotations

from typing import Any

from custody.cli.admin import ask, part, target
from custody.cli.context import Exit, Options, fail


def operator_envelope(options: Options, type_: str, **fields: object) -> bytes:
    """The wire form of an envelope with this transaction, under the key's next number. `actor`, where the type has
    one, is the key itself."""
    from custody.envelope import envelopes  # lazy: signing loads a compiled library that pausing must not wait for
    from custody.envelope.canonical import canonical  # lazy: as above
    from custody.envelope.keyfile import KeyFileError, read_key_file  # lazy: as above

    try:
        key = read_key_file(options.key)
    except KeyFileError as exc:
        fail(Exit.CONFIGURATION, f"{exc.message}; name another with --key, or have custodyd init make one")
    known = ask(options.socket, "GET", target("/admin/sequence", key=key.id))
    payload: dict[str, Any] = {"type": type_, "ledger": known["ledger"], "seq": known["next"], **fields}
    if "actor" in payload:
        payload["actor"] = key.id
    return envelopes.encode(envelopes.sign(key, canonical(payload)))


def submit_signed(options: Options, type_: str, **fields: object) -> Any:
    """Sign, hand in, and give back the daemon's answer; a refusal ends the program."""
    return ask(options.socket, "POST", "/admin/envelope", operator_envelope(options, type_, **fields))


def path_of(folder: str, name: str) -> str:
    """The path of one thing."""
    return f"/admin/{folder}/{part(name)}"
