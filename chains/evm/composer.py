"""From a draft to the exact bytes a key signs, and from a signature to the raw transaction. Pure; the signer shares it.

The message is the EIP-1559 payload `0x02 || rlp([chain_id, nonce, tip, max_fee, gas, to, value, data, access_list])`
whose keccak256 is signed. It carries exactly one payment, or none: then it is the filler, a self-send of nothing that
uses up its nonce. Delegations (EIP-7702), blobs and access lists are never composed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import coincurve
import rlp  # type: ignore[import-untyped] # the library ships no type information
from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from chains.errors import AddressError, Permanent, cap
from chains.evm import codec
from chains.observations import NATIVE
from chains.ports import Draft, Payment

TRANSFER_SELECTOR = bytes.fromhex("a9059cbb")
"""keccak256("transfer(address,uint256)")[:4] (EIP-20)."""

BALANCE_SELECTOR = bytes.fromhex("70a08231")
"""keccak256("balanceOf(address)")[:4] (EIP-20)."""

PLAIN_GAS = 21_000
"""What a transaction without data to an account without code costs (yellow paper, G_transaction)."""

DYNAMIC_FEE = b"\x02"
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
MAX_NONCE = 2**64 - 2
"""EIP-2681."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")
_PARAMETERS = ("gas", "max_fee", "max_priority_fee")


def compose(draft: Draft) -> bytes:
    """The exact unsigned message. Raises `Permanent` (`draft_invalid`) for anything but one payment, or none, from the
    sender, with a nonce, a chain id above zero and the three parameters as plain decimal numbers."""
    chain_id = _number(draft.chain_id, "chain_id")
    if chain_id == 0:
        raise _invalid("chain id 0 would be valid on every chain")
    if draft.nonce is None or draft.blockhash is not None:
        raise _invalid("an EVM transaction has a nonce and no blockhash")
    if not 0 <= draft.nonce <= MAX_NONCE:
        raise _invalid(f"nonce {draft.nonce} is out of range")
    if tuple(sorted(draft.parameters)) != _PARAMETERS:
        raise _invalid(f"parameters must be {', '.join(_PARAMETERS)}")
    gas, max_fee, tip = (_number(draft.parameters[name], name) for name in _PARAMETERS)
    if gas < PLAIN_GAS or gas >= 2**64:
        raise _invalid(f"gas {gas} is out of range")
    if tip > max_fee:
        raise _invalid("the priority fee exceeds the whole fee")
    to, value, data = _effect(draft)
    return DYNAMIC_FEE + codec.encode([chain_id, draft.nonce, tip, max_fee, gas, to, value, data, []])


def fee_cap(draft: Draft) -> int:
    """The most wei this transaction can cost: gas times the whole fee. (A rollup's data fee comes on top; it can't be
    capped by a transaction.)"""
    return _number(draft.parameters["gas"], "gas") * _number(draft.parameters["max_fee"], "max_fee")


def digest(message: bytes) -> bytes:
    """The 32 bytes that a key signs for a message of `compose`."""
    return keccak(message)


def attach(message: bytes, signatures: Mapping[str, bytes]) -> bytes:
    """The raw transaction from a message and `{sender: r || s || v}`, 65 bytes, v the parity as 0/1 or 27/28.

    Raises `Permanent`: `draft_invalid` when the message isn't one of ours, `signature_missing` unless exactly one is
    given, `signature_invalid` when it is malleable (EIP-2 wants the low s), out of range, or another key's.
    """
    fields = _decode(message)
    if len(signatures) != 1:
        raise Permanent("signature_missing", f"one signature is needed, {len(signatures)} were given")
    ((sender, signature),) = sorted(signatures.items())
    if len(signature) != 65:
        raise _refused(f"a signature has 65 bytes, not {len(signature)}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    parity = signature[64] - 27 if signature[64] in (27, 28) else signature[64]
    if parity not in (0, 1):
        raise _refused(f"v is {signature[64]}")
    if not 0 < r < SECP256K1_ORDER or not 0 < s <= SECP256K1_ORDER // 2:
        raise _refused("r or s is out of range, or s is the high one of the pair")
    signer = recover(digest(message), signature[:64] + bytes([parity]))
    if signer != codec.parse_address(sender):
        raise _refused(f"signed by {codec.checksummed(signer)}, not by {sender}")
    return DYNAMIC_FEE + codec.encode([*fields, parity, r, s])


def transaction_id(raw: bytes) -> str:
    """The hash the chain will know these bytes by."""
    return "0x" + keccak(raw).hex()


def recover(hashed: bytes, signature: bytes) -> bytes:
    """The address whose key made `r || s || parity` over a digest. Raises `Permanent` (`signature_invalid`)."""
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, hashed, hasher=None)
    except ValueError as exc:
        raise _refused("no key can have made it") from exc
    return address_of(key.format(compressed=False))


def address_of(public_key: bytes) -> bytes:
    """The 20 address bytes of an uncompressed public key (65 bytes, leading 0x04)."""
    return keccak(public_key[1:])[12:]


def transfer_data(recipient: bytes, amount: int) -> bytes:
    """The call of an EIP-20 `transfer`."""
    return TRANSFER_SELECTOR + abi_encode(["address", "uint256"], ["0x" + recipient.hex(), amount])


def balance_data(owner: bytes) -> bytes:
    """The call of an EIP-20 `balanceOf`."""
    return BALANCE_SELECTOR + abi_encode(["address"], ["0x" + owner.hex()])


def call_of(payment: Payment) -> tuple[bytes, int, bytes]:
    """Recipient of the transaction (20 bytes), value in wei and data that make a payment."""
    recipient = codec.parse_address(payment.recipient)
    if payment.token == NATIVE:
        return recipient, payment.amount, b""
    return codec.parse_address(payment.token), 0, transfer_data(recipient, payment.amount)


def _effect(draft: Draft) -> tuple[bytes, int, bytes]:
    try:
        if not draft.payments:
            return codec.parse_address(draft.sender), 0, b""
        if len(draft.payments) != 1:
            raise _invalid(f"one payment a transaction, not {len(draft.payments)}")
        payment = draft.payments[0]
        if payment.source != draft.sender:
            raise _invalid("on this chain funds leave the sender and nobody else")
        if not 0 < payment.amount <= codec.UINT256_MAX:
            raise _invalid(f"amount {payment.amount} is out of range")
        listed = [token.address for token in draft.tokens]
        if payment.token != NATIVE and payment.token not in listed:
            raise _invalid(f"token {cap(payment.token)} is not among the draft's tokens")
        codec.parse_address(draft.sender)
        return call_of(payment)
    except AddressError as exc:
        raise _invalid(exc.message) from exc


def _decode(message: bytes) -> list[codec.Rlp]:
    if message[:1] != DYNAMIC_FEE:
        raise _invalid("not an EIP-1559 message")
    try:
        fields = rlp.decode(message[1:], strict=True)
    except rlp.DecodingError as exc:
        raise _invalid("not RLP") from exc
    if not isinstance(fields, list) or len(fields) != 9:
        raise _invalid("an EIP-1559 message has nine fields")
    return fields


def _number(text: str, name: str) -> int:
    if _DECIMAL.fullmatch(text) is None:
        raise _invalid(f"{name} is no plain decimal number: {cap(text)}")
    return int(text)


def _invalid(why: str) -> Permanent:
    return Permanent("draft_invalid", why)


def _refused(why: str) -> Permanent:
    return Permanent("signature_invalid", why)


class EvmComposer:
    """The pure half of the adapter as one object, for whoever holds a `chains.ports.Composer`."""

    __slots__ = ()

    def compose(self, draft: Draft) -> bytes:
        """See `compose`."""
        return compose(draft)

    def fee_cap(self, draft: Draft) -> int:
        """See `fee_cap`."""
        return fee_cap(draft)

    def attach(self, message: bytes, signatures: Mapping[str, bytes]) -> bytes:
        """See `attach`."""
        return attach(message, signatures)

    def transaction_id(self, raw: bytes) -> str:
        """See `transaction_id`."""
        return transaction_id(raw)
