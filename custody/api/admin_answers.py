"""The shapes that `custodyctl` asks and gets over the unix socket."""

from __future__ import annotations

import msgspec

from custody.api import answers
from custody.api.ports import Reconciled
from custody.api.wire import Amount


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as an operator sees it. `lifted` is 0 while it stands; times in unix milliseconds."""

    id: str
    scope: str
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
    lifted: int
    lifted_by: str
    lifted_reason: str


class Holds(msgspec.Struct, frozen=True, kw_only=True):
    """Holds, the newest first where past ones are among them."""

    holds: tuple[Hold, ...]


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """A stop beside the ledger."""

    cause: str
    reason: str
    actor: str
    since: int


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many withdrawals are in a state on a chain."""

    chain: str
    state: str
    count: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole at a glance."""

    version: str
    ledger: str
    height: int
    time: int
    started: int
    ready: bool
    waiting_for: str
    holds: tuple[Hold, ...]
    latches: tuple[Latch, ...]
    chains: tuple[answers.StatusChain, ...]
    withdrawals: tuple[Count, ...]
    deposits_waiting: int


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider now. `reason` says why it may not be asked."""

    chain: str
    name: str
    host: str
    may_ask: bool
    reason: str
    breakers: str
    last_error: str
    in_flight: int
    rate: str
    latest: int | None
    finalized: int | None


class Providers(msgspec.Struct, frozen=True, kw_only=True):
    """All providers of all chains."""

    providers: tuple[Provider, ...]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account: everything an operator needs to answer its owner."""

    account: str
    opened_at: int
    balances: tuple[answers.Balance, ...]
    addresses: tuple[answers.Address, ...]
    holds: tuple[Hold, ...]
    deposits: tuple[answers.Deposit, ...]
    withdrawals: tuple[answers.Withdrawal, ...]


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """What all addresses of a tier hold together."""

    chain: str
    asset: str
    tier: str
    amount: Amount


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the house's addresses holds of an asset."""

    chain: str
    tier: str
    address: str
    asset: str
    amount: Amount


class Wallets(msgspec.Struct, frozen=True, kw_only=True):
    """The wallet book: sums by tier, and the house's own addresses one by one."""

    tiers: tuple[Tier, ...]
    wallets: tuple[Wallet, ...]


class LedgerTip(msgspec.Struct, frozen=True, kw_only=True):
    """Which ledger, and up to where."""

    ledger: str
    height: int
    hash: str
    root: str
    time: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a transaction: `ok`, or `endorsed` while other admins must say the same. `height` is −1 for a
    repeat."""

    code: str
    height: int
    repeat: bool
    hold: str = ""


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """`agreed` is true when every row is `equal`."""

    agreed: bool
    rows: tuple[Reconciled, ...]


class PauseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`hold` is the id the operator's tool made up, so that sending it twice is one pause. `seconds`: 0 for no end."""

    hold: str
    chain: str
    asset: str
    account: str
    direction: str
    reason: str
    seconds: int


class BrakeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pull the brake."""

    reason: str


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Release the brake: `envelope` is the body of an operator's `hold.lifted` for the brake's hold, as text, empty
    when the CLI has no key to sign with."""

    envelope: str
    reason: str


class ReconcileRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One chain, or all of them (empty)."""

    chain: str
