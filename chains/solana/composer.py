"""The exact bytes of a Solana payment, from a draft: the same on every machine, so that a signer can rebuild them.

One legacy message: compute limit and price, then per payment what it needs, in the draft's order (create the
recipient's token account, memo, transfer; the memo comes right before its transfer because recipients that require one
look there). The fee payer is the sender. The memo carries the payment's reference, without which two identical
payments on one blockhash would be one transaction and pay once.

Pure: no I/O, no clock, no chance. Signing is elsewhere; `attach` verifies what it is given (RFC 8032, strictly, as the
runtime does).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash, ParseHashError
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from spl.token.instructions import create_idempotent_associated_token_account, transfer_checked
from spl.token.models import TransferCheckedParams

from chains.errors import AddressError, Permanent, cap
from chains.observations import NATIVE
from chains.ports import Draft, Payment, Token
from chains.solana.codec import MEMO_PROGRAM, TOKEN_PROGRAM, U64, check_address, check_token, token_account

MAX_RAW: Final = 1232
"""Bytes of a whole legacy transaction: an IPv6 packet of 1,280 less its headers (agave `PACKET_DATA_SIZE`)."""

SIGNATURE_SIZE: Final = 64

LAMPORTS_PER_SIGNATURE: Final = 5_000
"""The base fee (agave `FeeStructure`)."""

MICRO: Final = 1_000_000
"""Micro-lamports in a lamport: the unit of the compute price."""

MAX_COMPUTE: Final = 1_400_000
"""Compute units one transaction may ask for (agave `MAX_COMPUTE_UNIT_LIMIT`)."""

MAX_REFERENCE: Final = 64
"""Characters of a reference: a keyed hash in hex. The memo program charges compute for every byte."""


def compose(draft: Draft) -> bytes:
    """The unsigned message. Raises `Permanent` (`draft_invalid`, `token_program_unsupported`, `message_too_large`)."""
    limit, price = _parameters(draft)
    if draft.nonce is not None or draft.blockhash is None:
        raise _invalid("a Solana draft has a blockhash and no nonce")
    if not draft.payments:
        raise _invalid("a Solana draft without payments says nothing")
    tokens = _tokens(draft)
    sender = _address(draft.sender)
    instructions = [set_compute_unit_limit(limit), set_compute_unit_price(price)]
    for payment in draft.payments:
        instructions += _pay(sender, payment, tokens)
    message = Message.new_with_blockhash(instructions, sender, _hash(draft.blockhash))
    raw = bytes(message)
    size = raw_size(message.header.num_required_signatures, len(raw))
    if size > MAX_RAW:
        raise Permanent("message_too_large", f"{len(draft.payments)} payments make {size} bytes, above {MAX_RAW}")
    return raw


def raw_size(signatures: int, message: int) -> int:
    """Bytes of the transaction: one length byte (below 128 signatures), the signatures, the message."""
    return 1 + SIGNATURE_SIZE * signatures + message


def fee_cap(draft: Draft) -> int:
    """Lamports: base fee for each signature plus the priority fee of the whole compute limit, rounded up.

    Rent for created token accounts is not a fee and not included. Raises as `compose`.
    """
    signatures = len(signers(compose(draft)))
    limit, price = _parameters(draft)
    return LAMPORTS_PER_SIGNATURE * signatures + -(-limit * price // MICRO)


def signers(message: bytes) -> tuple[str, ...]:
    """The addresses whose signatures a message needs, the fee payer first. Raises `Permanent` (`message_malformed`)."""
    parsed = _parse(message)
    return tuple(str(key) for key in parsed.account_keys[: parsed.header.num_required_signatures])


def attach(message: bytes, signatures: Mapping[str, bytes]) -> bytes:
    """The raw transaction. Raises `Permanent` (`message_malformed`, `signature_missing`, `signature_invalid`).

    A signature by anybody the message doesn't ask for is `signature_invalid` too: somebody mixed up two messages.
    """
    parsed = _parse(message)
    required = signers(message)
    ordered: list[Signature] = []
    for address in required:
        given = signatures.get(address)
        if given is None:
            raise Permanent("signature_missing", f"{address} has not signed")
        if len(given) != SIGNATURE_SIZE:
            raise Permanent("signature_invalid", f"{address}: {len(given)} bytes are not a signature")
        signature = Signature.from_bytes(given)
        if not signature.verify(Pubkey.from_string(address), message):
            raise Permanent("signature_invalid", f"{address} has not signed this message")
        ordered.append(signature)
    if len(signatures) != len(required):
        raise Permanent("signature_invalid", "a signature that the message does not ask for")
    return bytes(VersionedTransaction.populate(parsed, ordered))


def transaction_id(raw: bytes) -> str:
    """The fee payer's signature in base58. Raises `Permanent` (`message_malformed`)."""
    try:
        return str(VersionedTransaction.from_bytes(raw).signatures[0])
    except (ValueError, IndexError) as exc:
        raise Permanent("message_malformed", "these bytes are no transaction") from exc


def unsigned(message: bytes) -> bytes:
    """The transaction with empty signatures, as a simulation takes it."""
    parsed = _parse(message)
    return bytes(VersionedTransaction.populate(parsed, [Signature.default()] * parsed.header.num_required_signatures))


def writable_accounts(message: bytes) -> tuple[str, ...]:
    """The accounts the message locks for writing, in its own order: what priority fees are paid for."""
    parsed = _parse(message)
    keys, header = parsed.account_keys, parsed.header
    required = header.num_required_signatures
    signing = keys[: required - header.num_readonly_signed_accounts]
    plain = keys[required : len(keys) - header.num_readonly_unsigned_accounts]
    return tuple(str(key) for key in [*signing, *plain])


def _pay(sender: Pubkey, payment: Payment, tokens: Mapping[str, Token]) -> list[Instruction]:
    source, recipient = _address(payment.source), _address(payment.recipient)
    if source == recipient:
        raise _invalid("a payment to its own source moves nothing")
    if not 0 < payment.amount <= U64:
        raise _invalid(f"amount {payment.amount} is not within 1 … 2^64 - 1")
    memo = _memo(payment.reference)
    if payment.token == NATIVE:
        return [*memo, transfer(TransferParams(from_pubkey=source, to_pubkey=recipient, lamports=payment.amount))]
    token = tokens.get(payment.token)
    if token is None:
        raise _invalid(f"token {cap(payment.token)} is not among the draft's tokens")
    mint, program = Pubkey.from_string(token.address), Pubkey.from_string(TOKEN_PROGRAM)
    moved = transfer_checked(
        TransferCheckedParams(
            program_id=program,
            source=Pubkey.from_string(token_account(payment.source, token.address, token.program)),
            mint=mint,
            dest=Pubkey.from_string(token_account(payment.recipient, token.address, token.program)),
            owner=source,
            amount=payment.amount,
            decimals=token.decimals,
        )
    )
    if not payment.create_account:
        return [*memo, moved]
    return [create_idempotent_associated_token_account(sender, recipient, mint, program), *memo, moved]


def _memo(reference: str) -> list[Instruction]:
    if not reference:
        return []
    if len(reference) > MAX_REFERENCE or not (reference.isascii() and reference.isprintable()):
        raise _invalid(f"a reference is at most {MAX_REFERENCE} printable ASCII characters")
    return [Instruction(Pubkey.from_string(MEMO_PROGRAM), reference.encode(), [])]


def _parameters(draft: Draft) -> tuple[int, int]:
    """(compute limit, price in micro-lamports): both given, nothing else, as canonical decimal numbers."""
    if sorted(draft.parameters) != ["compute_limit", "compute_price"]:
        raise _invalid("parameters must be compute_limit and compute_price")
    limit = _number(draft.parameters["compute_limit"], MAX_COMPUTE)
    if limit == 0:
        raise _invalid("compute_limit must be above zero")
    return limit, _number(draft.parameters["compute_price"], U64)


def _number(text: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or str(int(text)) != text or int(text) > highest:
        raise _invalid(f"{cap(text)} is not a whole number up to {highest}")
    return int(text)


def _tokens(draft: Draft) -> dict[str, Token]:
    named: dict[str, Token] = {}
    for token in draft.tokens:
        try:
            check_token(token)
        except Permanent as exc:
            if exc.code == "token_malformed":
                raise _invalid(exc.message) from exc
            raise
        if token.address in named:
            raise _invalid(f"token {cap(token.address)} is listed twice")
        if token.address != NATIVE:
            _key(token.address)
            if not 0 <= token.decimals <= 255:
                raise _invalid(f"decimals of {token.address} are not a byte")
        named[token.address] = token
    return named


def _address(text: str) -> Pubkey:
    try:
        check_address(text)
    except AddressError as exc:
        raise _invalid(exc.message) from exc
    return Pubkey.from_string(text)


def _key(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError as exc:
        raise _invalid(f"not a public key: {cap(text)}") from exc


def _hash(text: str) -> Hash:
    try:
        return Hash.from_string(text)
    except ParseHashError as exc:
        raise _invalid(f"not a blockhash: {cap(text)}") from exc


def _parse(message: bytes) -> Message:
    try:
        parsed = Message.from_bytes(message)
    except ValueError as exc:
        raise Permanent("message_malformed", "these bytes are no legacy message") from exc
    if bytes(parsed) != message or not 0 < parsed.header.num_required_signatures <= len(parsed.account_keys):
        raise Permanent("message_malformed", "these bytes are no canonical legacy message")
    return parsed


def _invalid(reason: str) -> Permanent:
    return Permanent("draft_invalid", reason)
