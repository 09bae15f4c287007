"""The shapes of the client API's answers. The OpenAPI document and the Python client are made from these.

Times are unix milliseconds. Fields are always present; what isn't there yet is null, an empty string or an empty list.
"""

from __future__ import annotations

import msgspec

from custody.api.wire import Amount


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is stable. `transient`: the same intent may succeed later without anybody changing it."""

    code: str
    message: str
    transient: bool


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer that is not a success."""

    error: ErrorBody


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A user's deposit address. `state`: `assigned`, or `pending` with an empty address."""

    account: str
    chain: str
    address: str
    state: str


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """All deposit addresses of an account."""

    account: str
    addresses: tuple[Address, ...]


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """`held`: asked to be paid out and not paid yet."""

    asset: str
    available: Amount
    held: Amount


class Balances(msgspec.Struct, frozen=True, kw_only=True):
    """An account's balances, one row for every asset; `height` is the journal's block they are as of."""

    account: str
    height: int
    balances: tuple[Balance, ...]


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: `recorded` (waits for credit), `credited`, `below_minimum`. `order` counts all deposits."""

    id: str
    order: int
    account: str
    chain: str
    asset: str
    amount: Amount
    address: str
    tx: str
    ordinal: str
    position: int
    state: str
    recorded_at: int
    credited_at: int | None


class Deposits(msgspec.Struct, frozen=True, kw_only=True):
    """A page in order; ask with `after` for what follows, null at the end."""

    deposits: tuple[Deposit, ...]
    after: int | None


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: `awaiting_approval`, `queued`, `in_attempt`, `settled`, `failed`, `cancelled`. `held`: it waits for a
    pause to end. `failures` counts payments the chain refused; `tx` is the newest transaction that is known."""

    id: str
    order: int
    account: str
    asset: str
    chain: str
    to: str
    amount: Amount
    create_account: bool
    state: str
    held: bool
    attempt: str
    tx: str
    failures: int
    reason: str
    requested_at: int
    ended_at: int | None


class Withdrawals(msgspec.Struct, frozen=True, kw_only=True):
    """A page in order; ask with `after` for what follows, null at the end."""

    withdrawals: tuple[Withdrawal, ...]
    after: int | None


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer batch, which is booked as a whole: `state` is `booked`."""

    id: str
    state: str
    legs: int
    height: int
    at: int


class SequenceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The sequence number a key should use next, and the ledger its payloads must name."""

    key: str
    next: int
    ledger: str


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event carries; `sequence` counts from 1 without a gap."""

    sequence: int
    height: int
    at: int


class AccountOpened(Event, frozen=True, kw_only=True, tag="account.opened"):
    """A user account began."""

    account: str


class AddressAssigned(Event, frozen=True, kw_only=True, tag="address.assigned"):
    """A deposit address may be handed out."""

    account: str
    chain: str
    address: str


class DepositRecorded(Event, frozen=True, kw_only=True, tag="deposit.recorded"):
    """A finalized deposit. `state`: `recorded` or `below_minimum`."""

    deposit: str
    account: str
    chain: str
    asset: str
    amount: Amount
    tx: str
    state: str


class DepositCredited(Event, frozen=True, kw_only=True, tag="deposit.credited"):
    """A deposit became the user's available balance."""

    deposit: str
    account: str
    chain: str
    asset: str
    amount: Amount


class WithdrawalOpened(Event, frozen=True, kw_only=True, tag="withdrawal.opened"):
    """A request was accepted, in this state."""

    withdrawal: str
    account: str
    chain: str
    asset: str
    to: str
    amount: Amount
    state: str


class WithdrawalMoved(Event, frozen=True, kw_only=True, tag="withdrawal.moved"):
    """A withdrawal reached `state`."""

    withdrawal: str
    account: str
    state: str
    tx: str
    reason: str


class TransferBooked(Event, frozen=True, kw_only=True, tag="transfer.booked"):
    """A batch took effect."""

    transfer: str
    legs: int


class HoldSet(Event, frozen=True, kw_only=True, tag="hold.set"):
    """A pause began. Empty scope fields match everything; `until` is 0 for no end. With a `provider` no money is
    stopped: that provider of the chain is not asked any more."""

    hold: str
    chain: str
    asset: str
    account: str
    direction: str
    origin: str
    cause: str
    reason: str
    until: int
    provider: str = ""


class HoldLifted(Event, frozen=True, kw_only=True, tag="hold.lifted"):
    """A pause ended."""

    hold: str
    reason: str


AnyEvent = (
    AccountOpened | AddressAssigned | DepositRecorded | DepositCredited | WithdrawalOpened | WithdrawalMoved
    | TransferBooked | HoldSet | HoldLifted
)  # fmt: skip


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Events after the asked number, in order; `last` is the newest there is."""

    events: tuple[AnyEvent, ...]
    last: int


class StatusHold(msgspec.Struct, frozen=True, kw_only=True):
    """A pause as anybody may see it. `scope` is `all`, `chain`, `asset`, `chain+asset`, `account`, `wallet` or
    `provider`; of the last three nothing more is told, not even the reason."""

    scope: str
    chain: str
    asset: str
    direction: str
    origin: str
    cause: str
    reason: str
    since: int
    until: int


class StatusPause(msgspec.Struct, frozen=True, kw_only=True):
    """How one direction of a chain goes. `state`: `running`, `degraded` (slower, nothing is held), `draining` (what is
    under way ends), `paused`, `probing` (looking whether it may go on) or `catching_up`. `queue_age_seconds`: how long
    what waits has waited; `estimate_seconds`: until it runs again, null when nobody knows."""

    direction: str
    state: str
    since: int
    cause: str
    reason: str
    queue_age_seconds: float
    estimate_seconds: float | None


class StatusChain(msgspec.Struct, frozen=True, kw_only=True):
    """A chain: how far the ledger knows it, how far its providers say it is, how many of them may be asked now."""

    chain: str
    position: int
    height: int
    latest: int | None
    finalized: int | None
    providers: int
    usable: int
    pauses: tuple[StatusPause, ...] = ()


class StatusLatch(msgspec.Struct, frozen=True, kw_only=True):
    """A stop beside the ledger: `brake` or `storage`."""

    cause: str
    reason: str
    since: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What is paused and why. `paused` is true while anything is; a provider that is not asked pauses nothing."""

    version: str
    ledger: str
    height: int
    time: int
    ready: bool
    paused: bool
    holds: tuple[StatusHold, ...]
    latches: tuple[StatusLatch, ...]
    chains: tuple[StatusChain, ...]


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    alive: bool


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the daemon does its work, and if not, what it waits for."""

    ready: bool
    waiting_for: str
