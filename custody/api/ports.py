"""What the API asks of the rest of the daemon, and the numbers it obeys.

The composition hands in one `ClientDeps` and one `AdminDeps`; tests hand in the same with a real ledger behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from custody.envelope.envelopes import Envelope
from custody.ledger.rejections import Rejection
from custody.sequencer import Receipt
from custody.views.books import Books
from custody.views.facts import Facts, Latch
from custody.views.feed import Feed
from custody.views.history import History
from custody.views.tallies import Tallies


class Ledger(Protocol):
    """The sequencer, as far as the API needs it."""

    def next_sequence(self, key: str) -> int:
        """The number a key should use next."""
        ...

    def was_said(self, key: str, seq: int) -> bool:
        """Whether this number of a key has been answered already."""
        ...

    async def submit(self, envelope: Envelope) -> Receipt | Rejection:
        """The durable answer. Raises `custody.sequencer.Busy` and `Stopped`."""
        ...


class Recipients(Protocol):
    """What chains know about a recipient."""

    def check_address(self, chain: str, to: str) -> None:
        """The form alone, without asking anybody. Raises `chains.errors.AddressError`."""
        ...

    async def check_recipient(self, chain: str, to: str, asset: str, *, create_account: bool) -> None:
        """What only the chain can tell. Raises `AddressError`, or another `ChainError` when no provider could say."""
        ...


class HoldWords(msgspec.Struct, frozen=True, kw_only=True):
    """What a local operator wants held; fields as in `custody.ledger.transactions.HoldSet`."""

    hold: str
    chain: str
    asset: str
    account: str
    direction: str
    cause: str
    reason: str
    actor: str
    until: int
    provider: str = ""


class Relay(Protocol):
    """The daemon's own key, which speaks for operators known by their uid: it tightens and never loosens."""

    async def hold(self, words: HoldWords) -> Receipt | Rejection:
        """Sign and submit `hold.set`. Raises `Busy`, `Stopped`."""
        ...


class Brake(Protocol):
    """The latch in signer and broadcaster. It holds without a journal; its hold is recorded as soon as there is one."""

    def latched(self) -> Latch | None:
        """The brake as it stands."""
        ...

    async def pull(self, *, actor: str, reason: str) -> Latch:
        """Latch at once, then record it as a hold with the cause `brake` if the journal takes it. Pulled already: the
        standing latch."""
        ...

    async def release(self, *, actor: str, reason: str) -> None:
        """Open the latch. Its release has been recorded before: the hold is lifted."""
        ...


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """One asset on one chain at one position, in the asset's unit. `result`: `equal`, `surplus`, `deficit`, or
    `unknown` with a sentence in `detail`."""

    chain: str
    asset: str
    position: int
    ledger: int
    wallets: int
    observed: int | None
    result: str
    detail: str = ""


class Reconciler(Protocol):
    """Reconciliation on demand."""

    async def reconcile(self, chain: str) -> tuple[Reconciled, ...]:
        """Compare everything on one chain, or on all of them (empty). Ends within its own deadline."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """Every limit of the API, with its reason."""

    body_seconds: float = 10.0
    """For a whole body of 64 KiB: slow for a phone, and far too fast for an attacker who drips bytes."""
    recipient_seconds: float = 5.0
    """Asking the chain about a recipient; the composer asks again, so a silent provider keeps nobody waiting."""
    address_seconds: float = 5.0
    """Waiting for signer and scanner until an address may be handed out; then the answer is `pending`."""
    poll_seconds: int = 30
    """The longest wait of one poll for events: below the idle timeout of usual proxies."""
    page: int = 100
    """Rows of a page when the client doesn't say."""
    page_most: int = 500
    """Rows of the largest page."""
    in_flight: int = 1_024
    """Requests at work at once, polls included; more are answered `busy`."""
    nonces: int = 100_000
    """Signed reads within a nonce's memory of 60 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDeps:
    """What the client API stands on. `clock` gives unix milliseconds, `metrics` the exposition text in
    pieces, each of which is short work."""

    ledger: Ledger
    books: Books
    history: History
    feed: Feed
    recipients: Recipients
    facts: Callable[[], Facts]
    metrics: Callable[[], Iterator[bytes]]
    clock: Callable[[], int]
    limits: ApiLimits = field(default_factory=ApiLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDeps:
    """What the operators' API stands on."""

    ledger: Ledger
    books: Books
    history: History
    tallies: Tallies
    facts: Callable[[], Facts]
    relay: Relay
    brake: Brake
    reconciler: Reconciler
    clock: Callable[[], int]
    limits: ApiLimits = field(default_factory=ApiLimits)
