"""The EVM wire: what nodes send and what transactions are made of. Pure; every other room here gets its words from it.

Decoding is typed and lazy: msgspec checks the shape, and what is looked at once per transaction stays a string until
somebody needs the number. Everything that becomes a number or an address goes through the strict parsers below, since
a lenient one (`int(" 0x1_0 ", 16)` is 16 in Python) is how a forged or broken answer turns into money.

Sources: the execution API specification (quantities, blocks, receipts), EIP-55 (address spelling), EIP-155, EIP-2930
and EIP-1559 (transaction envelopes), EIP-20 (Transfer), EIP-4895 (withdrawals), the parity `trace_block` format.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import rlp  # type: ignore[import-untyped] # the library ships no type information
from eth_hash.auto import keccak

from chains.errors import UNREADABLE, AddressError, Retryable, cap
from chains.observations import Block

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256("Transfer(address,address,uint256)"): topic 0 of EIP-20 and EIP-721, told apart by how many follow."""

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
"""keccak256(rlp("")), the root of a trie without entries: what a block without transactions must commit to."""

GWEI = 10**9
UINT256_MAX = 2**256 - 1
WORD = 32

Quantity = Annotated[str, msgspec.Meta(pattern=r"^0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})\Z")]
"""An integer on the wire: no leading zero, no sign, at most 256 bits."""

Number = Annotated[str, msgspec.Meta(pattern=r"^0x(0|[1-9a-fA-F][0-9a-fA-F]{0,14}|[1-7][0-9a-fA-F]{15})\Z")]
"""A block's number or time: a quantity below 2**63, which every reader of ours can hold."""

Hash = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
Address20 = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")]
Bloom = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{512}\Z")]
Data = Annotated[str, msgspec.Meta(pattern=r"^0x([0-9a-fA-F]{2})*\Z")]

_QUANTITY = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


class Header(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A block without its transactions: enough to place it in the chain and to price the next one."""

    number: Number
    hash: Hash
    parent_hash: Hash
    timestamp: Number
    base_fee_per_gas: Quantity | None = None


class Transaction(msgspec.Struct, frozen=True, rename="camel"):
    """A transaction inside a block. Fields that only our own transactions are asked for stay raw."""

    hash: Hash
    sender: str = msgspec.field(name="from")
    nonce: str
    gas: str
    value: str
    to: str | None = None
    type: str = "0x0"
    chain_id: str | None = None
    gas_price: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    input: msgspec.Raw = msgspec.Raw(b'"0x"')
    access_list: msgspec.Raw = msgspec.Raw(b"[]")
    v: str | None = None
    y_parity: str | None = None
    r: str = "0x0"
    s: str = "0x0"


class AccessEntry(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of an EIP-2930 access list."""

    address: Address20
    storage_keys: list[Hash]


class Withdrawal(msgspec.Struct, frozen=True, gc=False):
    """A beacon-chain withdrawal (EIP-4895). `amount` is in gwei; the index is unique in the chain's whole history."""

    index: Quantity
    address: Address20
    amount: Quantity


class FullBlock(msgspec.Struct, frozen=True, rename="camel"):
    """`eth_getBlockByNumber(number, true)`."""

    number: Number
    hash: Hash
    parent_hash: Hash
    timestamp: Number
    transactions_root: Hash
    logs_bloom: Bloom
    transactions: list[Transaction]
    withdrawals: list[Withdrawal] | None = None


class Log(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One event log. `log_index` counts through the whole block, so it is no identity: re-inclusion changes it.

    A block has thousands, of which few are ours: `transfer` is strict with those it is asked about.
    """

    address: str
    topics: list[str]
    data: str
    block_hash: str
    transaction_hash: str
    log_index: str
    removed: bool = False


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What a transaction did. `l1_fee` is what an OP-stack chain charges its sender beside the gas."""

    transaction_hash: Hash
    block_hash: Hash
    block_number: Number
    status: Quantity
    gas_used: Quantity
    effective_gas_price: Quantity
    logs: list[Log]
    l1_fee: Quantity | None = None
    blob_gas_used: Quantity | None = None
    blob_gas_price: Quantity | None = None


class TraceAction(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The union of what calls, creations and self-destructions say about themselves."""

    call_type: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    value: str | None = None
    address: str | None = None
    refund_address: str | None = None
    balance: str | None = None


class TraceResult(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Of a creation: the address it made."""

    address: str | None = None


class Trace(msgspec.Struct, frozen=True, rename="camel"):
    """One frame of `trace_block`. `error` is set on the frame that failed and not on what it had called before."""

    action: TraceAction
    type: str
    block_hash: Hash
    trace_address: list[int]
    subtraces: int
    transaction_hash: str | None = None
    error: str | None = None
    result: TraceResult | None = None


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """An EIP-20 Transfer, decoded: addresses as 20 bytes, `amount` in the token's own unit."""

    contract: bytes
    sender: bytes
    recipient: bytes
    amount: int


def malformed(what: str, payload: object) -> Retryable:
    """The error for an answer that breaks the wire's own rules: worth asking somebody else, never worth guessing."""
    return Retryable("malformed", f"{what} is malformed: {cap(payload)}")


def quantity(text: str | None) -> int:
    """A wire integer. Raises `Retryable` (`malformed`) for anything but the one spelling of a number < 2**256."""
    if text is None or _QUANTITY.fullmatch(text) is None:
        raise malformed("quantity", text)
    return int(text, 16)


def raw_address(text: str) -> bytes:
    """The 20 bytes of an address as nodes write it, in any case of letters. Raises `Retryable` (`malformed`)."""
    return _exactly(20, text, "address")


def word(text: str) -> bytes:
    """The 32 bytes of a topic or of an ABI word. Raises `Retryable` (`malformed`)."""
    return _exactly(WORD, text, "word")


def _exactly(size: int, text: str, what: str) -> bytes:
    """`bytes.fromhex` skips blanks, so the length is looked at on both sides; it is several times a regex's speed, and
    this runs for each address of each transaction."""
    if len(text) == 2 + 2 * size and text[:2] == "0x":
        try:
            found = bytes.fromhex(text[2:])
        except ValueError as exc:
            raise malformed(what, text) from exc
        if len(found) == size:
            return found
    raise malformed(what, text)


def raw_data(text: str) -> bytes:
    """Bytes on the wire. Raises `Retryable` (`malformed`)."""
    if _DATA.fullmatch(text) is None:
        raise malformed("data", text)
    return bytes.fromhex(text[2:])


def checksummed(address: bytes) -> str:
    """The one spelling of an address that this project writes and accepts (EIP-55)."""
    plain = address.hex()
    digest = keccak(plain.encode("ascii")).hex()
    return "0x" + "".join(
        letter.upper() if nibble >= "8" else letter for letter, nibble in zip(plain, digest, strict=False)
    )


def parse_address(text: str) -> bytes:
    """The 20 bytes of an address that a person or a client gave us.

    Raises `AddressError`: `address_malformed` unless it is 0x and 40 hex digits, `address_checksum` unless the capital
    letters are exactly EIP-55's. An address in one case only carries no checksum, so a typing error in it can't be
    told from another person's address: it is refused too.
    """
    if _ADDRESS.fullmatch(text) is None:
        raise AddressError("address_malformed", f"not 0x and 40 hexadecimal digits: {cap(text)}")
    address = bytes.fromhex(text[2:])
    if checksummed(address) != text:
        one_case = text[2:] in (text[2:].lower(), text[2:].upper())
        why = "has no EIP-55 checksum (one case only)" if one_case else "fails its EIP-55 checksum: mistyped?"
        raise AddressError("address_checksum", f"{text} {why}; give the checksummed spelling")
    return address


def place(header: Header | FullBlock) -> Block:
    """A block's place in the chain, as everybody outside these rooms knows it."""
    number = quantity(header.number)
    return Block(
        position=number,
        height=number,
        hash=header.hash,
        parent_position=number - 1,
        parent_hash=header.parent_hash,
        time=quantity(header.timestamp),
    )


def bloom_bits(entry: bytes) -> int:
    """The three bits that an address or a topic sets in a block's 2,048-bit filter (yellow paper, section 4.3.1)."""
    hashed = keccak(entry)
    bits = 0
    for pair in (0, 2, 4):
        bits |= 1 << (int.from_bytes(hashed[pair : pair + 2], "big") & 2047)
    return bits


def bloom_of(logs: Iterable[Log]) -> int:
    """The filter that a block with exactly these logs commits to: each log's address and all its topics, never its
    data (yellow paper, section 4.3.1). Raises `Retryable` (`malformed`).

    Entries repeat a great deal within a block (the same few contracts, the same topic 0), hashing is what costs.
    """
    addresses: dict[str, None] = {}
    topics: dict[str, None] = {}
    for log in logs:
        addresses[log.address] = None
        topics.update(dict.fromkeys(log.topics))
    bloom = 0
    for address in addresses:  # ordered: bits are or-ed, any order gives the same
        bloom |= bloom_bits(raw_address(address))
    for topic in topics:  # ordered: as above, or-ed
        bloom |= bloom_bits(word(topic))
    return bloom


def transfer(log: Log) -> Transfer | None:
    """The EIP-20 transfer a log states, or None where it states something else.

    Exactly three topics (EIP-721 has four with the same topic 0), addresses padded with zeros as the ABI has it, and
    exactly one word of data. Raises `Retryable` (`malformed`) for what is no hex at all.
    """
    if len(log.topics) != 3 or log.topics[0] != TRANSFER:
        return None
    sender, recipient, data = word(log.topics[1]), word(log.topics[2]), raw_data(log.data)
    if any(sender[:12]) or any(recipient[:12]) or len(data) != WORD:
        return None
    return Transfer(
        contract=raw_address(log.address),
        sender=sender[12:],
        recipient=recipient[12:],
        amount=int.from_bytes(data, "big"),
    )


Rlp = bytes | int | Sequence["Rlp"]
"""What `encode` takes: integers are written big-endian without leading zeros, as every transaction field is."""


def encode(item: Rlp) -> bytes:
    """RLP (Ethereum yellow paper, appendix B)."""
    encoded: bytes = rlp.encode(_plain(item))
    return encoded


def _plain(item: Rlp) -> object:
    if isinstance(item, bytes):
        return item
    if isinstance(item, int):
        return item.to_bytes((item.bit_length() + 7) // 8, "big")
    return [_plain(entry) for entry in item]


def message_bytes(transaction: Transaction) -> bytes | None:
    """The unsigned bytes that a transaction's signature covers, rebuilt from a block. None for kinds we never make
    (blobs, delegations, a rollup's own): they are ours to notice, not ours to rebuild."""
    rebuilt = _fields(transaction)
    return None if rebuilt is None else rebuilt[0]


def message_digest(transaction: Transaction) -> str:
    """SHA-256 in hex of the unsigned bytes. For a kind that can't be rebuilt, a digest over the transaction hash: it
    matches no attempt, which is the point."""
    message = message_bytes(transaction)
    if message is None:
        message = b"foreign transaction " + transaction.type.encode("utf-8") + transaction.hash.encode("ascii")
    return hashlib.sha256(message).hexdigest()


def is_itself(transaction: Transaction) -> bool:
    """Whether the hash that a provider states is the hash of what it says beside it. Kinds that can't be rebuilt are
    believed."""
    rebuilt = _fields(transaction)
    return rebuilt is None or "0x" + keccak(rebuilt[1]).hex() == transaction.hash


def _fields(tx: Transaction) -> tuple[bytes, bytes] | None:
    """The unsigned and the signed envelope."""
    kind = quantity(tx.type)
    if kind > 2:
        return None
    to = b"" if tx.to is None else raw_address(tx.to)
    body: list[Rlp] = [quantity(tx.gas), to, quantity(tx.value), raw_data(_text(tx.input))]
    nonce, r, s = quantity(tx.nonce), quantity(tx.r), quantity(tx.s)
    if kind == 0:
        v = quantity(tx.v)
        legacy: list[Rlp] = [nonce, quantity(tx.gas_price), *body]
        protected: list[Rlp] = [(v - 35) // 2, 0, 0] if v >= 35 else []
        return encode([*legacy, *protected]), encode([*legacy, v, r, s])
    price: list[Rlp] = (
        [quantity(tx.gas_price)] if kind == 1 else [quantity(tx.max_priority_fee_per_gas), quantity(tx.max_fee_per_gas)]
    )
    fields: list[Rlp] = [quantity(tx.chain_id), nonce, *price, *body, _access_list(tx.access_list)]
    parity = quantity(tx.v if tx.y_parity is None else tx.y_parity)
    envelope = bytes([kind])
    return envelope + encode(fields), envelope + encode([*fields, parity, r, s])


def _text(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except UNREADABLE as exc:
        raise malformed("input", bytes(raw)) from exc


def _access_list(raw: msgspec.Raw) -> list[Rlp]:
    try:
        entries = msgspec.json.decode(raw, type=list[AccessEntry] | None) or []
    except UNREADABLE as exc:
        raise malformed("access list", bytes(raw)) from exc
    return [[raw_address(entry.address), [raw_data(key) for key in entry.storage_keys]] for entry in entries]
