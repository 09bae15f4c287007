"""The block's bytes, version 1: what is written today and must be readable for ever.

    blob    = msgpack [1, header, seals, body, results]
    header  = canonical JSON of `Header`, as bytes
    seals   = [[key id, signature (64)], …]
    body    = msgpack [[key id, payload, signature (64)], …], as bytes
    results = msgpack [result code, …], as bytes, one for each transaction of the body, in its order

    block hash     = SHA-256("custody/block/1" 00 ‖ header)
    header.body    = SHA-256("custody/body/1" 00 ‖ body)
    header.results = SHA-256("custody/results/1" 00 ‖ results)
    seal           = Ed25519 over "custody/seal/1" 00 ‖ block hash

The header is JSON so that an auditor can read and hash it with any tool; the rest is msgpack because it is most of the
bytes. Each value has exactly one encoding: `decode` re-encodes what it read and insists on the same bytes, so nothing
can hide between the members. Seals stand outside the hash, because a quorum's members sign the same block at different
times; the key of a seal, and how many count, is for the ledger's state to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from custody.envelope import ed25519
from custody.envelope.canonical import MAX_INTEGER, canonical
from custody.envelope.envelopes import Envelope, KeyId, SignatureBytes
from custody.journal.errors import JournalCode, JournalError

VERSION = 1
MAX_BLOB = 16 * 1024 * 1024
"""Bytes of one block: bounds what a reader must hold at once, and how long one commit can take."""
MAX_TRANSACTIONS = 65_536
MAX_SEALS = 64
NO_BLOCK = "00" * 32
"""`previous` of the first block."""

Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
ResultCode = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_]{1,64}\Z")]


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a block's hash covers. `time` is unix milliseconds by the sequencer's clock, the ledger's only time.

    `ledger` is the block hash of block 0 (the genesis hash) and empty in block 0 itself. `previous` is the block hash
    before this one. `root` is the state root after this block. `ruleset` names the rules that executed it. `epoch`
    counts the changes of who may seal.
    """

    body: Hash
    epoch: Natural
    height: Natural
    ledger: Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
    previous: Hash
    results: Hash
    root: Hash
    ruleset: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,64}\Z")]
    time: Natural


class Seal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One sealer's word for a block, under the id of its key."""

    key: KeyId
    signature: SignatureBytes


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A whole block. `results[i]` is the result code of `transactions[i]`."""

    header: Header
    seals: tuple[Seal, ...]
    transactions: tuple[Envelope, ...]
    results: tuple[str, ...]


class _Blob(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    header: bytes
    seals: Annotated[tuple[Seal, ...], msgspec.Meta(max_length=MAX_SEALS)]
    body: bytes
    results: bytes


_packer = msgspec.msgpack.Encoder()
_blob_decoder = msgspec.msgpack.Decoder(_Blob)
_header_decoder = msgspec.json.Decoder(Header)
_body_decoder = msgspec.msgpack.Decoder(Annotated[tuple[Envelope, ...], msgspec.Meta(max_length=MAX_TRANSACTIONS)])
_results_decoder = msgspec.msgpack.Decoder(Annotated[tuple[ResultCode, ...], msgspec.Meta(max_length=MAX_TRANSACTIONS)])


def block_hash(header: Header) -> str:
    """The hash that the next block names as `previous`, in lower-case hex."""
    return _digest(b"custody/block/1\0", canonical(header))


def body_digest(transactions: Sequence[Envelope]) -> str:
    """`Header.body` for these transactions."""
    return _digest(b"custody/body/1\0", _packer.encode(transactions))


def results_digest(results: Sequence[str]) -> str:
    """`Header.results` for these result codes."""
    return _digest(b"custody/results/1\0", _packer.encode(results))


def seal(key: ed25519.SigningKey, hash_: str) -> Seal:
    """The seal of `key` on the block with this hash."""
    return Seal(key.id, key.sign(seal_message(hash_)))


def seal_message(hash_: str) -> bytes:
    """The bytes a seal signs."""
    return b"custody/seal/1\0" + bytes.fromhex(hash_)


def check_seals(block: Block, public_key: Callable[[str], bytes | None], quorum: int = 1) -> None:
    """Insist on at least `quorum` seals by different known keys, and on every seal being good.

    `public_key` gives the key that may seal in the block's epoch under an id, or None. Raises `JournalError`
    (`journal_seal_wrong`): a seal by a stranger is refused too, since nothing good explains it.
    """
    message = seal_message(block_hash(block.header))
    sealers: list[str] = []
    for one in block.seals:
        public = public_key(one.key)
        if public is None or one.key in sealers or not ed25519.verify(public, message, one.signature):
            raise JournalError(
                JournalCode.SEAL_WRONG, f"block {block.header.height}: the seal of {one.key!r} does not hold"
            )
        sealers.append(one.key)
    if len(sealers) < quorum:
        raise JournalError(
            JournalCode.SEAL_WRONG, f"block {block.header.height} has {len(sealers)} of {quorum} seals it needs"
        )


def encode(block: Block) -> bytes:
    """The blob of a block. Raises `JournalError` (`journal_block_invalid`) for what `decode` would refuse."""
    try:
        blob = _Blob(
            VERSION,
            canonical(block.header),
            block.seals,
            _packer.encode(block.transactions),
            _packer.encode(block.results),
        )
        encoded = _packer.encode(blob)
        decode(encoded)
    except JournalError as exc:
        raise JournalError(JournalCode.BLOCK_INVALID, f"refused to write: {exc.message}") from exc
    return encoded


def decode(blob: bytes) -> Block:
    """The block in a blob, with its size, form, digests and counts checked; its hash and seals are the caller's.

    Raises `JournalError` (`journal_damaged`).
    """
    if len(blob) > MAX_BLOB:
        raise JournalError(JournalCode.DAMAGED, f"a block has at most {MAX_BLOB} bytes")
    try:
        outer = _blob_decoder.decode(blob)
        if outer.version != VERSION:
            raise JournalError(JournalCode.DAMAGED, f"block format {outer.version} is unknown to this version")
        header = _header_decoder.decode(outer.header)
        transactions = _body_decoder.decode(outer.body)
        results = _results_decoder.decode(outer.results)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise JournalError(JournalCode.DAMAGED, f"not a block: {exc}") from exc
    where = f"block {header.height}"
    if _packer.encode(outer) != blob or canonical(header) != outer.header:
        raise JournalError(JournalCode.DAMAGED, f"{where} is not in its one encoding")
    if _digest(b"custody/body/1\0", outer.body) != header.body:
        raise JournalError(JournalCode.DAMAGED, f"{where}: the body does not match its digest")
    if _digest(b"custody/results/1\0", outer.results) != header.results:
        raise JournalError(JournalCode.DAMAGED, f"{where}: the results do not match their digest")
    if _packer.encode(transactions) != outer.body or _packer.encode(results) != outer.results:
        raise JournalError(JournalCode.DAMAGED, f"{where} is not in its one encoding")
    if len(transactions) != len(results):
        raise JournalError(
            JournalCode.DAMAGED, f"{where} has {len(transactions)} transactions and {len(results)} results"
        )
    return Block(header=header, seals=outer.seals, transactions=transactions, results=results)


def _digest(domain: bytes, content: bytes) -> str:
    digest = hashlib.sha256(domain)
    digest.update(content)
    return digest.hexdigest()
