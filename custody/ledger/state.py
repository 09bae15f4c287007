"""What the ledger knows: tables of frozen rows, each row a leaf under the state root.

Tables remember which rows were touched since the last block, and never offer an unsorted walk: a dict's order differs
between a node that lived through history and one restored from a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from custody.ledger import roots
from custody.ledger.lifecycle import AttemptState, DepositState, WithdrawalState
from custody.ledger.roles import Role
from custody.ledger.transactions import Purpose, Representation

Part = str | int
V = TypeVar("V")

WINDOW = 1024
"""Sequence numbers a key's window remembers."""


class Table(Generic[V]):
    """Rows by key, and which of them changed since the last root."""

    __slots__ = ("_name", "_rows", "_touched")

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: dict[tuple[Part, ...], V] = {}
        self._touched: dict[tuple[Part, ...], None] = {}

    def get(self, *key: Part) -> V | None:
        """The row, or None."""
        return self._rows.get(key)

    def need(self, *key: Part) -> V:
        """The row, which must exist."""
        return self._rows[key]

    def put(self, key: tuple[Part, ...], row: V) -> None:
        """Set a row."""
        self._rows[key] = row
        self._touched[key] = None

    def drop(self, key: tuple[Part, ...]) -> None:
        """Remove a row, which must exist."""
        del self._rows[key]
        self._touched[key] = None

    def rows(self) -> Iterator[tuple[tuple[Part, ...], V]]:
        """All rows in the order of their keys."""
        return iter(sorted(self._rows.items(), key=lambda item: item[0]))

    def __len__(self) -> int:
        return len(self._rows)

    def take_touched(self) -> list[tuple[bytes, object]]:
        """(leaf key, row or None) of every row touched since the last call."""
        touched: list[tuple[bytes, object]] = [
            (roots.leaf_key(self._name, key), self._rows.get(key)) for key in sorted(self._touched)
        ]
        self._touched.clear()
        return touched


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A registered key. `public` in hex."""

    public: str
    roles: tuple[Role, ...]
    revoked: bool


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A key's sequence window: the highest number, how many were used, and a running hash of all that was said."""

    high: int
    used: int
    hash: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One used sequence number: the payload's digest and the code it was answered with."""

    digest: str
    code: str


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A chain. `tokens` is the version of its token list, `attested` and `watched` count its addresses."""

    family: str
    identity: str
    decoder: int
    tokens: int
    attested: int
    watched: int


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Up to which finalized block a chain is known without a gap."""

    position: int
    height: int
    hash: str


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """An asset; amounts in the ledger count 10^-decimals of it."""

    decimals: int
    representations: tuple[Representation, ...]

    def on(self, chain: str) -> Representation | None:
        """Its representation on a chain."""
        return next((item for item in self.representations if item.chain == chain), None)

    def as_token(self, chain: str, token: str) -> Representation:
        """The representation that a listed token is."""
        return next(item for item in self.representations if item.chain == chain and item.token == token)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An attested address of ours. `order` is its place among the chain's attested addresses; it is handed out once
    `order` ≤ the chain's `watched`."""

    tier: str
    account: str
    index: int
    order: int


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A user's deposit address on a chain: the allotted index, and the address once it is attested."""

    index: int
    address: str


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """`amount` in the asset's unit; `order` is its place in the queue for credit."""

    chain: str
    tx: str
    ordinal: str
    position: int
    address: str
    account: str
    asset: str
    amount: int
    state: DepositState
    order: int


class Surplus(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt that nothing explains yet, in suspense; `amount` in the asset's unit."""

    asset: str
    amount: int


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """`amount` in the asset's unit, `raw` in its representation's. `content` is the digest that makes an id's second
    use a repeat or a conflict. `attempt`: the latest one, `failures`: how many failed on chain."""

    account: str
    asset: str
    chain: str
    to: str
    amount: int
    raw: int
    create_account: bool
    state: WithdrawalState
    order: int
    requested: int
    attempt: str
    failures: int
    tx: str
    content: str
    reason: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """`height`: of the blockhash used, from our own cursor; 0 on an account-nonce chain. `height_prepared`: the block
    of the journal that recorded it."""

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
    state: AttemptState
    raw: str
    tx: str
    journal_height: int


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender's transactions are ordered by. `next_nonce`: the first that no attempt was prepared for; `done`:
    the first that no finalized transaction used. Both 0 for ever on Solana."""

    next_nonce: int
    done: int


class NonceSlot(msgspec.Struct, frozen=True, kw_only=True):
    """All attempts ever prepared at one nonce, in order."""

    attempts: tuple[str, ...]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A pause in force. Empty scope fields match everything."""

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


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has asked to withdraw of an asset on one UTC day (days since 1970)."""

    day: int
    amount: int


class Endorsed(msgspec.Struct, frozen=True, kw_only=True):
    """Who has said the same thing so far: (admin key id, its public key when it spoke)."""

    voices: tuple[tuple[str, str], ...]


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Orders given out so far."""

    deposits: int
    withdrawals: int


class State:
    """All tables. `ledger` is the genesis hash, `quorum` how many admins must agree."""

    __slots__ = (
        "accounts", "addresses", "agreed", "assets", "attempts", "balances", "batches", "blocks", "chains",
        "counters", "cursors", "deposits", "endorsed", "families", "heights", "holds", "indexes", "keys", "lanes",
        "ledger", "nonces", "open_attempts", "open_withdrawals", "parameters", "past_holds", "pending", "publics",
        "quorum", "root", "said", "slots", "surplus", "tokens", "usage", "waiting", "wallets", "windows", "withdrawals",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ledger = ""
        self.quorum = 1
        self.root = roots.EMPTY_ROOT
        self.counters = Counters(deposits=0, withdrawals=0)
        self.keys: Table[Key] = Table("keys")  # id
        self.publics: Table[str] = Table("publics")  # public key → key id, for ever
        self.windows: Table[Window] = Table("windows")  # key id
        self.said: Table[Said] = Table("said")  # key id, seq
        self.endorsed: Table[Endorsed] = Table("endorsed")  # digest
        self.chains: Table[Chain] = Table("chains")  # chain
        self.cursors: Table[Cursor] = Table("cursors")  # chain
        self.blocks: Table[int] = Table("blocks")  # chain, hash → height, for the recent ones
        self.heights: Table[str] = Table("heights")  # chain, height → hash, for the same
        self.agreed: Table[int] = Table("agreed")  # chain → position at which the wallet book was last compared
        self.assets: Table[Asset] = Table("assets")  # asset
        self.tokens: Table[str] = Table("tokens")  # chain, token → asset
        self.parameters: Table[int] = Table("parameters")  # name, scope
        self.accounts: Table[int] = Table("accounts")  # account → unix ms of its beginning
        self.families: Table[int] = Table("families")  # family → derivation indexes given out
        self.indexes: Table[int] = Table("indexes")  # account, family → the account's derivation index
        self.slots: Table[Slot] = Table("slots")  # account, chain
        self.addresses: Table[Address] = Table("addresses")  # chain, address
        self.balances: Table[int] = Table("balances")  # asset, account name
        self.wallets: Table[int] = Table("wallets")  # chain, address, token → raw units
        self.deposits: Table[Deposit] = Table("deposits")  # deposit id
        self.pending: Table[str] = Table("pending")  # order → deposit id
        self.waiting: dict[tuple[str, str], dict[int, str]] = {}
        """`pending` once more, by (chain, asset) and then by rising order: derived, so it is no leaf of its own. A
        held chain's queue is passed over as a whole, however long it is."""
        self.surplus: Table[Surplus] = Table("surplus")  # chain, tx, ordinal
        self.withdrawals: Table[Withdrawal] = Table("withdrawals")  # id
        self.open_withdrawals: Table[str] = Table("open_withdrawals")  # order → id
        self.attempts: Table[Attempt] = Table("attempts")  # id
        self.open_attempts: Table[str] = Table("open_attempts")  # id → chain
        self.lanes: Table[Lane] = Table("lanes")  # chain, sender
        self.nonces: Table[NonceSlot] = Table("nonces")  # chain, sender, nonce
        self.batches: Table[str] = Table("batches")  # id → digest
        self.holds: Table[Hold] = Table("holds")  # id, in force
        self.past_holds: Table[str] = Table("past_holds")  # id → digest of the hold, once lifted
        self.usage: Table[Usage] = Table("usage")  # account, asset

    def balance(self, asset: str, account: str) -> int:
        """A ledger balance in the asset's unit; 0 when nothing was ever posted."""
        return self.balances.get(asset, account) or 0

    def parameter(self, name: str, scope: str) -> int | None:
        """A rule's number, None where the default holds."""
        return self.parameters.get(name, scope)

    def tables(self) -> tuple[Table[object], ...]:
        """All tables, in a fixed order."""
        others = ("counters", "ledger", "quorum", "root", "waiting")
        names = sorted(name for name in self.__slots__ if name not in others)
        return tuple(getattr(self, name) for name in names)

    def seal(self) -> bytes:
        """Fold every touched row into the root and return it; called once at the end of a block."""
        touched: list[tuple[bytes, object]] = [(roots.leaf_key("counters", ()), self.counters)]
        for table in self.tables():
            touched.extend(table.take_touched())
        self.root = roots.chain(self.root, touched)
        return self.root
