"""Everything that may be said to the ledger: one frozen struct for each type of signed payload.

A payload is the canonical JSON of one of these (RFC 8785). All fields are always present, so that one meaning has one
spelling. Amounts are decimal strings; everything else that is a number fits into 53 bits. `ledger` is the genesis
hash, `seq` the signing key's sequence number. The README's table of types is drawn from this module.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from custody.ledger.roles import Role


class Transaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What every payload carries. `ROLES`: a key with any of these may say it; `QUORUM`: it takes effect only when as
    many admin keys as the genesis asks for have said exactly the same."""

    ROLES: ClassVar[tuple[Role, ...]] = ()
    QUORUM: ClassVar[bool] = False

    ledger: str
    seq: int


class KeyRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as the genesis lists it. `public`: 32 bytes of Ed25519 in hex."""

    id: str
    public: str
    roles: tuple[Role, ...]


class Representation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an asset exists on a chain. `token`: `native`, or the contract or mint. `minimum`: the smallest deposit that
    is credited, in the representation's own unit."""

    chain: str
    token: str
    decimals: int
    program: str
    minimum: str


class ChainRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chain and the block its cursor starts from; that block itself is not scanned.

    `identity`: the EVM chain id in decimal, or Solana's genesis hash. `decoder`: the version of the decoding rules
    that scans must have been made with.
    """

    chain: str
    family: str
    identity: str
    decoder: int
    position: int
    height: int
    hash: str


class AssetRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An asset; `decimals` is its unit: the finest of its representations."""

    asset: str
    decimals: int
    representations: tuple[Representation, ...]


class ParameterRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule's number. `scope`: an asset or a chain, by the parameter's kind; see `custody.policy.parameters`."""

    name: str
    scope: str
    value: str


class Genesis(Transaction, frozen=True, kw_only=True, tag="genesis"):
    """Block 0. It names no ledger: the hash of the block it makes becomes the ledger's name."""

    name: str
    quorum: int
    keys: tuple[KeyRow, ...]
    chains: tuple[ChainRow, ...]
    assets: tuple[AssetRow, ...]
    parameters: tuple[ParameterRow, ...]


class KeyRegistered(Transaction, frozen=True, kw_only=True, tag="key.registered"):
    """A new key with its roles."""

    ROLES = (Role.ADMIN,)
    QUORUM = True
    id: str
    public: str
    roles: tuple[Role, ...]


class KeyRotated(Transaction, frozen=True, kw_only=True, tag="key.rotated"):
    """A key id gets a new public key; its sequence window goes on."""

    ROLES = (Role.ADMIN,)
    QUORUM = True
    id: str
    public: str


class KeyRevoked(Transaction, frozen=True, kw_only=True, tag="key.revoked"):
    """A key may sign nothing more; its id is never used again."""

    ROLES = (Role.ADMIN,)
    QUORUM = True
    id: str


class ChainSet(Transaction, frozen=True, kw_only=True, tag="chain.set"):
    """A chain is added, or its decoder version moves on."""

    ROLES = (Role.ADMIN,)
    QUORUM = True
    chain: str
    family: str
    identity: str
    decoder: int
    position: int
    height: int
    hash: str


class AssetSet(Transaction, frozen=True, kw_only=True, tag="asset.set"):
    """An asset is added, or gains representations, or changes its minimums."""

    ROLES = (Role.ADMIN,)
    QUORUM = True
    asset: str
    decimals: int
    representations: tuple[Representation, ...]


class ParameterSet(Transaction, frozen=True, kw_only=True, tag="parameter.set"):
    """A rule's number changes."""

    ROLES = (Role.ADMIN,)
    QUORUM = True
    name: str
    scope: str
    value: str


class AddressRequested(Transaction, frozen=True, kw_only=True, tag="address.requested"):
    """A user wants a deposit address on a chain. The first one makes the account."""

    ROLES = (Role.PAYOUTS, Role.ENGINE, Role.SECURITY)
    account: str
    chain: str


class AddressAttested(Transaction, frozen=True, kw_only=True, tag="address.attested"):
    """The signer states that it holds the key of `address`, derived at (tier, index). `account` is empty for the
    house's own tiers."""

    ROLES = (Role.SIGNER,)
    chain: str
    tier: str
    account: str
    index: int
    address: str


class AddressAssigned(Transaction, frozen=True, kw_only=True, tag="address.assigned"):
    """The chain's scanner watches the address from now on: it may be handed out. `watched` is the scanner's watched
    set after it, so the ledger knows from which scan on it is covered."""

    ROLES = (Role.WATCHER,)
    chain: str
    address: str
    watched: int


class ScannedBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One block's digest within a range."""

    position: int
    height: int
    hash: str


class ScannedDeposit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chains.observations.Deposit`, its amount as text."""

    tx: str
    ordinal: str
    position: int
    address: str
    token: str
    amount: str


class ScannedMovement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chains.observations.Movement`, its delta as text."""

    tx: str
    ordinal: str
    position: int
    address: str
    token: str
    delta: str


class ScannedPaid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chains.observations.Paid`, its amount as text."""

    recipient: str
    token: str
    amount: str


class ScannedOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chains.observations.Outcome`, its fee as text."""

    tx: str
    position: int
    sender: str
    nonce: int | None
    message: str
    succeeded: bool
    fee: str
    paid: tuple[ScannedPaid, ...]


class ChainScanned(Transaction, frozen=True, kw_only=True, tag="chain.scanned"):
    """A contiguous finalized range that joins on to the cursor, with all it says about our addresses. `first` is the
    position after the cursor's; `last` the last block's. `parent` is the hash of the cursor's block."""

    ROLES = (Role.WATCHER,)
    chain: str
    first: int
    last: int
    parent: str
    blocks: tuple[ScannedBlock, ...]
    deposits: tuple[ScannedDeposit, ...]
    movements: tuple[ScannedMovement, ...]
    outcomes: tuple[ScannedOutcome, ...]
    decoder: int
    tokens: int
    watched: int


class ObservedBalance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an address held, in the representation's unit."""

    address: str
    token: str
    amount: str


class BalancesObserved(Transaction, frozen=True, kw_only=True, tag="balances.observed"):
    """Finalized balances at exactly the cursor's position: the wallet book is compared with the chain."""

    ROLES = (Role.WATCHER,)
    chain: str
    position: int
    balances: tuple[ObservedBalance, ...]


class TreasuryFunded(Transaction, frozen=True, kw_only=True, tag="treasury.funded"):
    """An observed, unexplained receipt was the owner's own money."""

    ROLES = (Role.ADMIN,)
    QUORUM = True
    chain: str
    tx: str
    ordinal: str


class WithdrawalRequested(Transaction, frozen=True, kw_only=True, tag="withdrawal.requested"):
    """`amount` in the asset's unit. `create_account`: the client confirms that the recipient may not exist yet
    (Solana), at the house's cost."""

    ROLES = (Role.PAYOUTS,)
    id: str
    account: str
    asset: str
    chain: str
    to: str
    amount: str
    create_account: bool


class WithdrawalApproved(Transaction, frozen=True, kw_only=True, tag="withdrawal.approved"):
    """An operator lets a withdrawal above the threshold go."""

    ROLES = (Role.OPERATOR,)
    id: str


class WithdrawalCancelled(Transaction, frozen=True, kw_only=True, tag="withdrawal.cancelled"):
    """Called off before any attempt; what was held becomes available."""

    ROLES = (Role.PAYOUTS, Role.OPERATOR)
    id: str
    reason: str


class Purpose(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an attempt moves money, and exactly how: one transfer of its message.

    `kind`: `withdrawal` (`id` names it), `sweep` (a deposit address to a wallet), `topup` (a wallet to an address of
    ours). `amount` in the representation's unit.
    """

    kind: str
    id: str
    source: str
    recipient: str
    token: str
    amount: str
    reference: str
    create_account: bool


class AttemptPrepared(Transaction, frozen=True, kw_only=True, tag="attempt.prepared"):
    """A fact before it is an act: the exact message, before any signer sees it.

    `attempt`: `identifiers.attempt_id` of chain, sender and message. Lane: (`chain`, `sender`). `nonce` on EVM,
    `blockhash` on Solana; the other is null. `excludes`: all earlier attempts at the same nonce, each of which this
    one makes impossible. No purposes: a filler. `fee_cap` and `rent_cap` in the native unit. `message` in hex;
    `parameters` are the composer's, so that anyone can rebuild the message.
    """

    ROLES = (Role.COMPOSER,)
    attempt: str
    chain: str
    sender: str
    nonce: int | None
    blockhash: str | None
    excludes: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    parameters: dict[str, str]
    fee_cap: str
    rent_cap: str
    message: str


class AttemptSigned(Transaction, frozen=True, kw_only=True, tag="attempt.signed"):
    """The signed bytes, journaled before the first broadcast. `raw` in hex; `tx` is the id the chain will use."""

    ROLES = (Role.SIGNER,)
    attempt: str
    raw: str
    tx: str


class AbsenceSeen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chains.observations.Absence` of one provider."""

    provider: str
    found: bool
    finalized_height: int
    context: int


class AttemptEvidence(Transaction, frozen=True, kw_only=True, tag="attempt.evidence"):
    """What the providers say about an attempt's transaction. With the ledger's own cursor it may prove its death."""

    ROLES = (Role.WATCHER,)
    attempt: str
    absences: tuple[AbsenceSeen, ...]


class TransferLeg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`source` and `target` are account ids; `target` may be `house:fees`."""

    source: str
    target: str
    asset: str
    amount: str


class TransferBatch(Transaction, frozen=True, kw_only=True, tag="transfer.batch"):
    """An atomic batch: all legs or none. This is how a matching engine books trades."""

    ROLES = (Role.ENGINE,)
    id: str
    legs: tuple[TransferLeg, ...]


class HoldSet(Transaction, frozen=True, kw_only=True, tag="hold.set"):
    """A pause. Empty scope fields match everything. `until`: unix milliseconds, 0 for no end. `actor`: who asked, as
    known to whoever signed (an operator's key id, `uid:1000`, `auto`). With `provider` it is a cordon, of one provider
    of the named chain, and stops no money."""

    ROLES = (Role.OPERATOR, Role.RELAY)
    hold: str
    chain: str
    asset: str
    account: str
    wallet: str
    provider: str
    direction: str
    origin: str
    cause: str
    reason: str
    actor: str
    until: int


class HoldLifted(Transaction, frozen=True, kw_only=True, tag="hold.lifted"):
    """The end of a hold."""

    ROLES = (Role.OPERATOR, Role.RELAY)
    hold: str
    reason: str
    actor: str


TYPES: tuple[type[Transaction], ...] = (
    Genesis, KeyRegistered, KeyRotated, KeyRevoked, ChainSet, AssetSet, ParameterSet,
    AddressRequested, AddressAttested, AddressAssigned, ChainScanned, BalancesObserved, TreasuryFunded,
    WithdrawalRequested, WithdrawalApproved, WithdrawalCancelled, AttemptPrepared, AttemptSigned, AttemptEvidence,
    TransferBatch, HoldSet, HoldLifted,
)  # fmt: skip

AnyTransaction = (
    Genesis | KeyRegistered | KeyRotated | KeyRevoked | ChainSet | AssetSet | ParameterSet
    | AddressRequested | AddressAttested | AddressAssigned | ChainScanned | BalancesObserved | TreasuryFunded
    | WithdrawalRequested | WithdrawalApproved | WithdrawalCancelled
    | AttemptPrepared | AttemptSigned | AttemptEvidence
    | TransferBatch | HoldSet | HoldLifted
)  # fmt: skip
