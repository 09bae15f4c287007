"""Every code the API can answer with, its HTTP status, and whether trying again may help: one table.

The ledger's rejections, the envelope's refusals and the chains' address errors keep the codes they have inside. The
README's table of errors is drawn from `TABLE`.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from custody.envelope.errors import EnvelopeCode
from custody.ledger.rejections import Rejection


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One row: `message` is the sentence for people when nothing better is known."""

    code: str
    status: int
    transient: bool
    message: str


class ApiProblem(Exception):
    """Raised anywhere below a handler; the middleware spells it."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.problem = TABLE[code]
        self.message = message or self.problem.message


class ApiCode(Enum):
    """Codes that are the API's own. `value` is (code, status, transient, message)."""

    NOT_FOUND = ("not_found", 404, False, "There is nothing at this path; see /v1/openapi.json.")
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, False, "This path takes another method; see the Allow header.")
    CONTENT_TYPE = ("content_type_wrong", 415, False, "A body is application/json in UTF-8.")
    CONTENT_ENCODING = ("content_encoding_refused", 415, False, "Bodies are sent as they are, not compressed.")
    BODY_TOO_SLOW = ("body_too_slow", 408, True, "The body did not arrive in time.")
    TYPE_NOT_HERE = ("type_not_here", 400, False, "This path takes another type of transaction.")
    PATH_MISMATCH = ("path_mismatch", 400, False, "The path and the signed payload name different things.")
    QUERY_MALFORMED = ("query_malformed", 400, False, "A parameter of the query is unknown, repeated or malformed.")
    BODY_MALFORMED = ("body_malformed", 400, False, "The body is not what this path takes.")
    READ_UNSIGNED = (
        "read_unsigned",
        401,
        False,
        "A read carries Custody-Key, Custody-Timestamp, Custody-Nonce and Custody-Signature, each once.",
    )
    READ_STALE = ("read_stale", 401, False, "The timestamp is more than 30 s from the server's clock.")
    READ_REPLAYED = ("read_replayed", 401, False, "This nonce was used within the last 60 s.")
    UNKNOWN_DEPOSIT = ("unknown_deposit", 404, False, "No deposit of this id was recorded.")
    UNKNOWN_PROVIDER = ("unknown_provider", 404, False, "No configured chain, or not the named one, has this provider.")
    UNKNOWN_TRANSFER = ("unknown_transfer", 404, False, "No transfer batch of this id was booked.")
    BUSY = ("busy", 503, True, "Too much waits already; nothing happened, try again.")
    STORAGE = ("storage", 503, True, "The ledger takes no transactions now; the same envelope again gets its answer.")
    NEEDS_SIGNATURE = ("needs_signature", 403, False, "This act wants an operator's own signature (--key).")
    NOT_LATCHED = ("not_latched", 409, False, "The brake is not on.")
    BRAKE_NOT_RECORDED = (
        "brake_not_recorded",
        409,
        True,
        "The brake is on and not in the journal yet; its release must be recorded first, so the journal must work.",
    )
    INTERNAL = ("internal", 500, True, "A fault of ours; it is in the log.")

    @property
    def code(self) -> str:
        """The name on the wire."""
        return self.value[0]


_FORM, _WHO, _MAY_NOT, _ABSENT, _CONFLICT, _RULES = 400, 401, 403, 404, 409, 422

_REJECTIONS: dict[Rejection, int] = {
    Rejection.PAYLOAD_MALFORMED: _FORM,
    Rejection.PAYLOAD_NOT_CANONICAL: _FORM,
    Rejection.UNKNOWN_TYPE: _FORM,
    Rejection.OTHER_LEDGER: _FORM,
    Rejection.UNKNOWN_KEY: _WHO,
    Rejection.KEY_REVOKED: _WHO,
    Rejection.SIGNATURE_WRONG: _WHO,
    Rejection.SEQUENCE_TOO_OLD: _CONFLICT,
    Rejection.SEQUENCE_TOO_FAR: _CONFLICT,
    Rejection.SEQUENCE_CONFLICT: _CONFLICT,
    Rejection.AMOUNT_ZERO: _FORM,
    Rejection.AMOUNT_NEGATIVE: _FORM,
    Rejection.AMOUNT_MALFORMED: _FORM,
    Rejection.AMOUNT_TOO_LARGE: _FORM,
    Rejection.IDENTIFIER_MALFORMED: _FORM,
    Rejection.FIELD_OUT_OF_BOUNDS: _FORM,
    Rejection.ROLE_MAY_NOT: _MAY_NOT,
    Rejection.UNKNOWN_CHAIN: _ABSENT,
    Rejection.UNKNOWN_ASSET: _ABSENT,
    Rejection.ASSET_NOT_ON_CHAIN: _RULES,
    Rejection.UNKNOWN_ACCOUNT: _ABSENT,
    Rejection.UNKNOWN_ADDRESS: _ABSENT,
    Rejection.UNKNOWN_PARAMETER: _ABSENT,
    Rejection.ID_CONFLICT: _CONFLICT,
    Rejection.ADMIN_ENDORSED_ALREADY: _CONFLICT,
    Rejection.KEY_WEAK: _RULES,
    Rejection.KEY_EXISTS: _CONFLICT,
    Rejection.LAST_ADMIN: _RULES,
    Rejection.CHAIN_IS_FIXED: _RULES,
    Rejection.ASSET_IS_FIXED: _RULES,
    Rejection.TOKEN_TAKEN: _CONFLICT,
    Rejection.NATIVE_NOT_LISTED: _CONFLICT,
    Rejection.ADDRESS_INDEX_WRONG: _RULES,
    Rejection.ADDRESS_TAKEN: _CONFLICT,
    Rejection.WATCHED_SET_WRONG: _CONFLICT,
    Rejection.SCAN_NOT_JOINED: _CONFLICT,
    Rejection.SCAN_DISORDERED: _RULES,
    Rejection.SCAN_STALE: _CONFLICT,
    Rejection.POSITION_NOT_AT_CURSOR: _CONFLICT,
    Rejection.UNKNOWN_RECEIPT: _ABSENT,
    Rejection.INSUFFICIENT_BALANCE: _RULES,
    Rejection.AMOUNT_NOT_REPRESENTABLE: _RULES,
    Rejection.RECIPIENT_IS_OURS: _RULES,
    Rejection.LIMIT_PER_TRANSACTION: _RULES,
    Rejection.LIMIT_DAILY: _RULES,
    Rejection.HELD: _CONFLICT,
    Rejection.UNKNOWN_WITHDRAWAL: _ABSENT,
    Rejection.WITHDRAWAL_NOT_WAITING: _CONFLICT,
    Rejection.WITHDRAWAL_NOT_QUEUED: _CONFLICT,
    Rejection.PURPOSE_MISMATCH: _RULES,
    Rejection.MESSAGE_MISMATCH: _RULES,
    Rejection.UNKNOWN_ATTEMPT: _ABSENT,
    Rejection.ATTEMPT_NOT_OPEN: _CONFLICT,
    Rejection.NONCE_NOT_NEXT: _CONFLICT,
    Rejection.EXCLUSION_WRONG: _RULES,
    Rejection.REPLACEMENTS_EXHAUSTED: _RULES,
    Rejection.BLOCKHASH_NOT_SCANNED: _CONFLICT,
    Rejection.FEE_ABOVE_CAP: _RULES,
    Rejection.DEATH_NOT_PROVEN: _CONFLICT,
    Rejection.UNKNOWN_HOLD: _ABSENT,
    Rejection.HOLD_NOT_YOURS: _MAY_NOT,
    Rejection.BATCH_INVALID: _RULES,
}

_ENVELOPES: dict[EnvelopeCode, tuple[int, str]] = {
    EnvelopeCode.MALFORMED: (400, "The body is not an envelope."),
    EnvelopeCode.TOO_LARGE: (413, "A body has at most 64 KiB."),
    EnvelopeCode.NOT_CANONICAL: (400, "Send canonical JSON (RFC 8785)."),
    EnvelopeCode.SIGNATURE_MALFORMED: (400, "A signature is the canonical base64 of 64 bytes."),
    EnvelopeCode.SIGNATURE_WRONG: (401, "The signature does not verify with the registered key."),
    EnvelopeCode.KEY_WEAK: (422, "The public key is of small order or not canonically encoded."),
    EnvelopeCode.READ_MALFORMED: (401, "The headers of the signed read are malformed."),
}

_ADDRESSES: dict[str, str] = {
    "address_malformed": "The recipient is not an address of this chain in its one spelling.",
    "address_checksum": "The recipient's checksum (EIP-55) is wrong: was it copied whole?",
    "address_is_contract": "The recipient is a contract, which is not paid.",
    "address_off_curve": "The recipient is not on the curve: no key can sign for it.",
    "address_is_program": "The recipient is a program.",
    "address_not_payable": "The recipient can't be paid.",
    "address_is_token_account": "The recipient is a token account; name its owner.",
    "account_absent": "The recipient has no account for this token; confirm with create_account.",
}


def _rows() -> dict[str, Problem]:
    rows: dict[str, Problem] = {}
    for envelope, (status, message) in _ENVELOPES.items():
        rows[envelope.value] = Problem(code=envelope.value, status=status, transient=False, message=message)
    for code, message in _ADDRESSES.items():
        rows[code] = Problem(code=code, status=_RULES, transient=False, message=message)
    for own in ApiCode:
        name, status, transient, message = own.value
        rows[name] = Problem(code=name, status=status, transient=transient, message=message)
    # Last, so that a code that envelopes and ledger share has the ledger's sentence; their statuses agree.
    for rejection, status in _REJECTIONS.items():
        rows[rejection.code] = Problem(
            code=rejection.code, status=status, transient=rejection.transient, message=rejection.advice
        )
    return rows


TABLE: dict[str, Problem] = _rows()
"""Code → status, transient, message."""


def problem(code: ApiCode | Rejection, message: str = "") -> ApiProblem:
    """The exception for one of our own codes or a rejection."""
    return ApiProblem(code.code, message)


def address_problem(code: str, message: str) -> ApiProblem:
    """The exception for a chain's address error; a code nobody listed is still a refusal of the address."""
    return ApiProblem(code if code in _ADDRESSES else "address_not_payable", message)
