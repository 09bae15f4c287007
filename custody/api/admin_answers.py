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


class ChainStatus(answers.StatusChain, frozen=True, kw_only=True):
    """What operators see of a chain beside what anybody may: `truth` says in words whom the daemon believes, `quorum`
    how many providers must say the same (0: not known), `trouble` why the chain can't be read."""

    quorum: int
    truth: str
    trouble: str


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
    chains: tuple[ChainStatus, ...]
    withdrawals: tuple[Count, ...]
    deposits_waiting: int


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider now; seconds everywhere, null for never.

    `state`: `quarantined` (it contradicted what was proven), `locked_out` (it refuses our key), `cordoned` (a person
    keeps it out), `open` (its breaker is), `frozen` (it throttled us), `spent` (the plan's quota is), `probing` (its
    breaker is half open), `failing` (asked, and no good answer since the first trouble) or `ok`. `reason` says why it
    may not be asked. `lag` and `finalized_lag`: blocks behind the best of those that are neither quarantined nor held.
    `unsupported`: methods it doesn't offer, as far as it was asked of late.
    `doubts`: how often, by code, its word about a block was not to be had, or not believed, while others' proved it.
    `holds`: the ledger's holds on it, and `cordoned` their reason or the pool's. `tokens`, `learned_rate` and
    `contract_rate` are its account's.
    """

    chain: str
    name: str
    host: str
    account: str
    state: str
    may_ask: bool
    reason: str
    breakers: str
    error_breaker: str
    auth_breaker: str
    integrity_breaker: str
    cordoned: str
    holds: tuple[str, ...]
    last_error: str
    last_error_message: str
    last_error_ago: float | None
    last_success_ago: float | None
    failing_for: float | None
    frozen_for: float
    unknown_errors: int
    unsupported: tuple[str, ...]
    doubts: dict[str, int]
    in_flight: int
    concurrency: int
    learned_concurrency: dict[str, int]
    rate: str
    learned_rate: float
    contract_rate: float
    tokens: float
    latest: int | None
    finalized: int | None
    lag: int | None
    finalized_lag: int | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one class that wait for a provider; `oldest_seconds` is null where it is not known."""

    priority: str
    calls: int
    oldest_seconds: float | None


class ChainProviders(msgspec.Struct, frozen=True, kw_only=True):
    """One chain's providers together; `truth`, `quorum`, `trouble` as in `status`."""

    chain: str
    providers: int
    usable: int
    quorum: int
    truth: str
    trouble: str
    latest: int | None
    finalized: int | None
    queue: tuple[Waiting, ...]


class Providers(msgspec.Struct, frozen=True, kw_only=True):
    """All providers of all chains."""

    providers: tuple[Provider, ...]
    chains: tuple[ChainProviders, ...]


class Cordon(msgspec.Struct, frozen=True, kw_only=True):
    """One provider of one chain, kept out by `hold`. `already`: it was before, and nothing was said again; `height` is
    −1 then. `warning`: what is left of the chain's providers does not suffice, and what that means."""

    chain: str
    provider: str
    hold: str
    already: bool
    height: int
    warning: str


class Cordons(msgspec.Struct, frozen=True, kw_only=True):
    """What one cordon did, by chain."""

    cordons: tuple[Cordon, ...]


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


class CordonRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keep a provider out, on one chain or (empty) on each that has one of this name."""

    provider: str
    chain: str
    reason: str


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
