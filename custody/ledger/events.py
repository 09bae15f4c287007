"""What happened: the only things that change state. Each is the consequence of one admitted transaction.

Events are not stored: whoever has the journal's transactions gets the same events by deciding again. They carry all
that `evolve` needs, so that `evolve` never asks why and can't fail.
"""

from __future__ import annotations

import msgspec

from custody.ledger.roles import Role
from custody.ledger.transactions import Purpose, Representation, ScannedBlock


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of all events."""


class Founded(Event, frozen=True, kw_only=True, tag="ledger.founded"):
    """Block 0."""

    name: str
    quorum: int


class KeyPut(Event, frozen=True, kw_only=True, tag="key.put"):
    """A key as it is from now on."""

    key: str
    public: str
    roles: tuple[Role, ...]
    revoked: bool


class Endorsed(Event, frozen=True, kw_only=True, tag="proposal.endorsed"):
    """One more admin key said the same; `complete` when it was the last one needed."""

    digest: str
    key: str
    public: str
    complete: bool


class ChainPut(Event, frozen=True, kw_only=True, tag="chain.put"):
    """A chain as it is from now on; its cursor starts at `position` when it is new."""

    chain: str
    family: str
    identity: str
    decoder: int
    position: int
    height: int
    hash: str


class AssetPut(Event, frozen=True, kw_only=True, tag="asset.put"):
    """An asset as it is from now on; every chain it is on gets a newer token list."""

    asset: str
    decimals: int
    representations: tuple[Representation, ...]


class ParameterPut(Event, frozen=True, kw_only=True, tag="parameter.put"):
    """A rule's number from now on."""

    name: str
    scope: str
    value: int


class AccountOpened(Event, frozen=True, kw_only=True, tag="account.opened"):
    """A user account begins. `at` in unix milliseconds."""

    account: str
    at: int


class SlotAllotted(Event, frozen=True, kw_only=True, tag="address.requested"):
    """The derivation index of a user's deposit address on a chain, the same on all chains of a family."""

    account: str
    chain: str
    family: str
    index: int


class AddressAttested(Event, frozen=True, kw_only=True, tag="address.attested"):
    """An address of ours; `order` is its place in the chain's watched set."""

    chain: str
    address: str
    tier: str
    account: str
    index: int
    order: int


class AddressAssigned(Event, frozen=True, kw_only=True, tag="address.assigned"):
    """The scanner watches the first `watched` addresses of the chain: this one may be handed out."""

    chain: str
    address: str
    account: str
    watched: int


class CursorMoved(Event, frozen=True, kw_only=True, tag="cursor.moved"):
    """The chain is known without a gap up to the last of `blocks`."""

    chain: str
    blocks: tuple[ScannedBlock, ...]


class WalletMoved(Event, frozen=True, kw_only=True, tag="wallet.moved"):
    """The wallet book follows an observed fact; `delta` in the representation's unit."""

    chain: str
    address: str
    token: str
    tx: str
    delta: int


class Posted(Event, frozen=True, kw_only=True, tag="ledger.posted"):
    """A double entry: legs of (account, units) that sum to zero."""

    asset: str
    legs: tuple[tuple[str, int], ...]


class DepositRecorded(Event, frozen=True, kw_only=True, tag="deposit.recorded"):
    """A deposit under its permanent id. `move` is `record`, or `refuse` below the minimum."""

    deposit: str
    chain: str
    tx: str
    ordinal: str
    position: int
    address: str
    account: str
    asset: str
    amount: int
    order: int
    move: str


class DepositCredited(Event, frozen=True, kw_only=True, tag="deposit.credited"):
    """Once for each deposit id, ever."""

    deposit: str
    chain: str
    account: str
    asset: str
    amount: int


class SurplusBooked(Event, frozen=True, kw_only=True, tag="surplus.booked"):
    """A receipt that nothing explains."""

    chain: str
    tx: str
    ordinal: str
    asset: str
    amount: int


class SurplusExplained(Event, frozen=True, kw_only=True, tag="surplus.explained"):
    """It was the owner's money."""

    chain: str
    tx: str
    ordinal: str
    asset: str
    amount: int


class WithdrawalOpened(Event, frozen=True, kw_only=True, tag="withdrawal.opened"):
    """A request was accepted. `move`: `queue`, `ask`, or `transfer` when the recipient is an address of ours."""

    withdrawal: str
    account: str
    asset: str
    chain: str
    to: str
    amount: int
    raw: int
    create_account: bool
    order: int
    at: int
    day: int
    content: str
    move: str


class WithdrawalMoved(Event, frozen=True, kw_only=True, tag="withdrawal.moved"):
    """One step of the life cycle; `attempt` and `tx` where the step has them."""

    withdrawal: str
    move: str
    attempt: str = ""
    tx: str = ""
    reason: str = ""
    failed: bool = False


class AttemptPrepared(Event, frozen=True, kw_only=True, tag="attempt.prepared"):
    """The exact message is a fact."""

    attempt: str
    chain: str
    sender: str
    nonce: int | None
    blockhash: str | None
    height: int
    excludes: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    parameters: dict[str, str]
    fee_cap: int
    rent_cap: int
    message: str
    journal_height: int


class AttemptSigned(Event, frozen=True, kw_only=True, tag="attempt.signed"):
    """The signed bytes are a fact."""

    attempt: str
    raw: str
    tx: str


class AttemptEnded(Event, frozen=True, kw_only=True, tag="attempt.ended"):
    """`move`: `land`, `fail`, `die` or `exclude`."""

    attempt: str
    move: str
    tx: str


class NonceUsed(Event, frozen=True, kw_only=True, tag="lane.nonce_used"):
    """A finalized transaction used this nonce of a lane."""

    chain: str
    sender: str
    nonce: int


class BatchBooked(Event, frozen=True, kw_only=True, tag="transfer.booked"):
    """A transfer batch took effect."""

    batch: str
    content: str
    legs: int


class HoldSet(Event, frozen=True, kw_only=True, tag="hold.set"):
    """A pause begins."""

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
    since: int
    until: int


class HoldLifted(Event, frozen=True, kw_only=True, tag="hold.lifted"):
    """A pause ends."""

    hold: str
    reason: str
    actor: str
    at: int


class BalancesAgreed(Event, frozen=True, kw_only=True, tag="balances.agreed"):
    """Chain and wallet book were equal at the cursor for so many addresses."""

    chain: str
    position: int
    addresses: int
