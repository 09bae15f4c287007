"""What custody may ask of a chain: one protocol, implemented by every adapter and judged by one contract test.

The types here are deliberately the same for an account-nonce chain and a blockhash chain. Where the chains differ, the
difference is data (`nonce` or `blockhash`), never a second method.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from chains.observations import Absence, Balance, Block, Head, Range, Source


class Tier(StrEnum):
    """What an address of ours is for. Deposit addresses belong to users; the others are the house's wallets."""

    DEPOSIT = "deposit"
    HOT = "hot"
    GAS = "gas"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A representation on this chain. `address` is the contract or mint, or `NATIVE`. `program` is the token program
    on Solana, empty elsewhere."""

    address: str
    decimals: int
    program: str = ""


class WatchList:
    """The addresses and tokens a scanner looks for: append-only, so that a version is simply a length.

    The owner (a flow in custody) appends; adapters keep their own derived index (token accounts, byte sets) and catch
    up from where they left off. `tokens_version` is the ledger's own number for its asset list.
    """

    def __init__(self) -> None:
        self.addresses: list[tuple[str, Tier]] = []
        self.tokens: tuple[Token, ...] = ()
        self.tokens_version = 0

    @property
    def version(self) -> int:
        """How many addresses are watched: the version that a range names as `watched`."""
        return len(self.addresses)

    def add(self, address: str, tier: Tier) -> None:
        """Watch one more address from the next scan on. Addresses are never removed."""
        self.addresses.append((address, tier))

    def list_tokens(self, tokens: tuple[Token, ...], version: int) -> None:
        """Replace the token list by the ledger's newer one."""
        if version < self.tokens_version:
            raise AssertionError("a token list never goes back")
        self.tokens, self.tokens_version = tokens, version


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer inside a transaction of ours.

    `source` is the owner address the funds leave (on EVM always the sender; on Solana a sweep's deposit address, with
    the sender as fee payer). `recipient` is an owner address, never a token account. `amount` is in the
    representation's unit. `create_account`: pay for the recipient's token account if it is absent (Solana).
    `reference` goes into a memo where the chain has one: a keyed hash, never an account id.
    """

    source: str
    recipient: str
    token: str
    amount: int
    reference: str = ""
    create_account: bool = False


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """All that determines a transaction's exact unsigned bytes: `compose(draft)` is a pure function of it.

    Exactly one of `nonce` (EVM) and `blockhash` (Solana) is set. No payments and a nonce is the filler: a self-send of
    nothing. `parameters` are the chain's own, as decimal strings: EVM `gas`, `max_fee`, `max_priority_fee` (wei);
    Solana `compute_limit`, `compute_price` (micro-lamports a unit). `tokens` are the representations the payments
    name. `chain_id` is the EVM chain id, or the genesis hash on Solana.
    """

    chain: str
    chain_id: str
    sender: str
    payments: tuple[Payment, ...]
    nonce: int | None
    blockhash: str | None
    parameters: Mapping[str, str]
    tokens: tuple[Token, ...]


class Sent(StrEnum):
    """What became of one broadcast, all providers taken together."""

    ACCEPTED = "accepted"  # at least one provider took it, or already knew it
    AMBIGUOUS = "ambiguous"  # nobody took it for certain and nobody refused it for good
    REFUSED = "refused"  # every answer was the chain's own verdict against these bytes


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """`code` names the verdict when refused: `nonce_too_low`, `underpriced`, `insufficient_funds`,
    `blockhash_not_found`, `simulation_failed`, `malformed`."""

    result: Sent
    code: str = ""
    detail: str = ""


class Composer(Protocol):
    """The pure half of paying, which the signer uses too: no I/O, no clock, the same bytes on every machine."""

    def compose(self, draft: Draft) -> bytes:
        """The exact unsigned message. Raises `Permanent` (`draft_invalid`, `message_too_large`)."""
        ...

    def fee_cap(self, draft: Draft) -> int:
        """The most this transaction can cost in the native unit, rent for created accounts excluded."""
        ...

    def attach(self, message: bytes, signatures: Mapping[str, bytes]) -> bytes:
        """The raw transaction from a message and a signature for each signing address. Raises `Permanent`
        (`signature_missing`, `signature_invalid`); a raw transaction that comes back has been verified."""
        ...

    def transaction_id(self, raw: bytes) -> str:
        """The id the chain will know these bytes by."""
        ...


class Adapter(Composer, Protocol):
    """One chain, through its provider pool. All methods raise `chains.errors` and nothing else."""

    chain: str
    decoder: int

    @property
    def doubts(self) -> Mapping[tuple[str, str], int]:
        """How often each provider's word about a block was not to be had, or not believed, while others' proved the
        block; by provider and the error's code. Nobody is blamed for these, and somebody may want to see them."""
        ...

    async def identify(self) -> None:
        """Check which chain every reachable provider serves (chain id, genesis hash). Who serves another one is
        reported, and the others go on while they make the quorum. Raises `Integrity` (`wrong_chain`) or
        `NoProvider`."""
        ...

    async def verify_token(self, token: Token) -> None:
        """Whether this is a token of the chain's with exactly these decimals, asked before the ledger lists it for
        ever. Raises `Permanent` (`token_malformed`, `token_absent`, `token_decimals_wrong`,
        `token_program_unsupported`)."""
        ...

    async def head(self) -> Head:
        """Where the chain stands: the newest block by somebody's word, the finalized one by a quorum's."""
        ...

    async def sources(self, cursor: Block) -> tuple[Source, ...]:
        """Where each provider stands, and whether it agrees about the cursor's block. In the order of the
        configuration; who may not be asked now is left out. Heights are reported to the pool; who denies a block that
        others confirm is reported for it. Never raises for a provider's failure."""
        ...

    async def block(self, position: int) -> Block | None:
        """The finalized block at a position, None where a Solana slot was provably skipped. For a first cursor."""
        ...

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        """The next finalized range after `cursor`, at most `limit` positions; None when nothing newer is final.
        Raises `Integrity` (`parent_mismatch`) when the chain no longer joins on to the cursor."""
        ...

    async def preview(self, after: int, watch: WatchList, limit: int) -> Range | None:
        """The same for blocks past `after` that are *not yet final*: for display only, never for the ledger."""
        ...

    def check_address(self, address: str) -> None:
        """Raise `AddressError` unless this is the one canonical spelling of a payable owner address."""
        ...

    async def check_recipient(self, address: str, token: str, *, may_create: bool) -> None:
        """What `check_address` can't see: contracts, programs, absent accounts. Raises `AddressError`."""
        ...

    async def draft(
        self,
        sender: str,
        payments: tuple[Payment, ...],
        *,
        nonce: int | None,
        blockhash: str | None,
        tokens: tuple[Token, ...],
        bump: Draft | None = None,
    ) -> Draft:
        """Price a transaction: gas or compute by simulation, fees from the chain, capped by configuration.
        `bump` asks for a replacement of that draft at the same nonce (both fee fields ≥ +12.5 %, rounded up).
        Raises `Permanent` (`would_fail`) when the simulation fails by the chain's own verdict."""
        ...

    async def broadcast(self, raw: bytes) -> Broadcast:
        """Send the bytes once to each of several providers; never retried by the transport."""
        ...

    async def absence(self, tx: str) -> tuple[Absence, ...]:
        """Ask every provider for a transaction; those that could not answer are left out."""
        ...

    async def balance(self, address: str, token: str) -> Balance:
        """A finalized balance with the position it is valid at, as a quorum says it."""
        ...
