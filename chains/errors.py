"""Every way a chain or a provider can fail, as the three kinds a caller can act on.

Foreign exceptions stop here: a transport, a codec or a vendor's odd answer is mapped to one of these at the border
(`raise … from exc`), so that nobody above has to know what a `ClientOSError` is. The kinds are chosen by what may be
done next, never by where the trouble came from:

- `Retryable`: nothing happened; ask again later, or ask somebody else.
- `Permanent`: asking again gives the same answer; a person or other code must change something.
- `Ambiguous`: it may or may not have happened. Only a broadcast can be ambiguous, and it is never called failed.
"""

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What decoding a foreign answer may raise: not JSON, another shape, brackets within brackets without end."""

PAYLOAD_CAP = 240
"""Characters of a foreign payload that may appear in an error or a log line: enough to recognise, too few to flood."""


class ChainError(Exception):
    """Base of all errors that leave `chains`. `code` is stable and machine-readable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Retryable(ChainError):
    """Nothing happened. Another provider, or the same one later, may well answer."""


class Permanent(ChainError):
    """The same question gets the same answer; retrying is waste."""


class Ambiguous(ChainError):
    """A broadcast whose fate is unknown: the bytes may be on their way. Follow it up, never call it failed."""


class NoProvider(Retryable):
    """No trustworthy provider is left to ask: the cause of the hold `auto:provider`."""


class Integrity(Permanent):
    """A provider, or the chain itself, contradicts what was proven before. Stops the chain; a person looks."""


class Verdict(Permanent):
    """The chain's own answer to a request (a reverted simulation, a nonce too low): not the provider's fault, and not
    to be asked elsewhere. `code` is the classification's name for it; `rpc_code` and `data` are what the node said."""

    def __init__(self, code: str, message: str, *, rpc_code: int = 0, data: object = None) -> None:
        super().__init__(code, message)
        self.rpc_code = rpc_code
        self.data = data


class AddressError(Permanent):
    """A recipient that must not be paid. Codes: `address_malformed`, `address_checksum`, `address_is_contract`,
    `address_off_curve`, `address_is_program`, `address_not_payable`, `account_absent`, `address_is_token_account`."""


def cap(payload: object) -> str:
    """A foreign payload, cut to `PAYLOAD_CAP` characters, with control characters made visible."""
    text = payload if isinstance(payload, str) else repr(payload)
    text = text[: PAYLOAD_CAP + 1].encode("unicode_escape").decode("ascii")
    return text if len(text) <= PAYLOAD_CAP else text[:PAYLOAD_CAP] + "…"
