"""The frozen facts a chain adapter reports: what stood in finalized blocks, in the chain's own units.

These are facts and never verdicts: whether an increase is a deposit to credit, a treasury top-up or a surprise is for
the ledger to decide from its own state. Amounts are integers in the *representation's* unit (wei, lamports, a token's
own decimals); the ledger scales them. Positions are what a scanner counts by (EVM: block number; Solana: slot);
heights are what a chain's expiry rules count by (EVM: the same number; Solana: block height, which skips with slots).
"""

from __future__ import annotations

import msgspec

NATIVE = "native"
"""The `token` of a chain's own coin, in the place of a contract or mint address."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One block's place in the chain.

    `hash` and `parent_hash` as the chain writes them (EVM 0x-hex, lower case; Solana base58). `parent_position` is
    `position - 1` on EVM; on Solana it jumps over skipped slots. `time` is unix seconds as the block states it, 0 when
    it states none.
    """

    position: int
    height: int
    hash: str
    parent_position: int
    parent_hash: str
    time: int


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """An increase at one of our deposit addresses, inside one successful transaction.

    `ordinal` makes it unique within the transaction and survives re-inclusion in another block: EVM `native`,
    `log:<n>` (the log's place among the transaction's own logs) or `trace:<path>`; Solana `<account>/<mint>`, with
    `native` as the mint of SOL. `token` is `NATIVE` or the contract or mint. `amount` > 0, representation's units.
    """

    tx: str
    ordinal: str
    position: int
    address: str
    token: str
    amount: int


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """Any other change of balance at an address of ours: hot wallets both ways, deposit addresses downwards.

    `delta` is signed and includes the network fee where the address paid one (so the sum of a transaction's movements
    is exactly what our addresses lost or gained). `ordinal` as for `Deposit`.
    """

    tx: str
    ordinal: str
    position: int
    address: str
    token: str
    delta: int


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction of ours provably delivered: `amount` of `token` to the owner address `recipient`."""

    recipient: str
    token: str
    amount: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A finalized transaction that one of our addresses sent (EVM: `from`; Solana: fee payer).

    `message` is the SHA-256, in hex, of the exact unsigned message the signature covers, rebuilt from the block, so it
    equals the attempt's id even when a signature differs. `nonce` is None on Solana. `fee` is in the native unit and
    was paid by `sender`, whether `succeeded` or not. `paid` is empty when it failed.
    """

    tx: str
    position: int
    sender: str
    nonce: int | None
    message: str
    succeeded: bool
    fee: int
    paid: tuple[Paid, ...]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that finalized blocks `first` … `last` say about our addresses, with the proof that none is missing.

    `blocks` are all blocks that exist in the range, in order; the first one's parent is (`parent_position`,
    `parent_hash`), the block the scan joined on to, and each further one's parent is its predecessor. On Solana `last`
    is the last *block* in the range. Lists are in chain order. `decoder`, `tokens` and `watched` are the versions of
    the decoding rules, of the token list and of the watched set that were in force for the whole range.
    """

    chain: str
    first: int
    last: int
    parent_position: int
    parent_hash: str
    last_hash: str
    blocks: tuple[Block, ...]
    deposits: tuple[Deposit, ...]
    movements: tuple[Movement, ...]
    outcomes: tuple[Outcome, ...]
    decoder: int
    tokens: int
    watched: int


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain stands by its trusted providers: the newest block and the newest finalized one."""

    latest: Block
    finalized: Block


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider says of the chain's end. Positions; None: it didn't say.

    `confirms` is whether it holds, at the cursor's position, the very block that we built on: None when it has nothing
    to say there (it lags, it has pruned, it did not answer).
    """

    provider: str
    latest: int | None
    finalized: int | None
    confirms: bool | None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What an address held of a token at a known finalized position; `amount` in representation's units."""

    address: str
    token: str
    amount: int
    position: int


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's statement about a transaction it was asked for, as evidence: found or not, and as of when.

    `finalized_height` is the provider's finalized height when it answered; `context` its context slot or block.
    """

    provider: str
    tx: str
    found: bool
    finalized_height: int
    context: int
