"""An honest chain, and what an exchange on it should come to: the model that the ledger is measured against.

Neither half looks into the ledger. `Chain` knows who really has what and writes down, as a watcher would see it, what
each of its transactions did to our addresses. `Books` knows what users were promised, by rules written a second time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from custody.ledger import transactions as tx
from tests.custody.ledger.world import COIN, NATIVE, SOL, TOKEN, scale

FEE = 3
MINIMUM = 10
LIFE = 151
"""A Solana transaction can land up to this many blocks after the one whose hash it names."""

Transfer = tuple[str, str, str, int]
"""From, to, token, raw amount."""


@dataclass
class Attempt:
    """What a chain has to know of signed bytes."""

    chain: str
    sender: str
    nonce: int | None
    height: int
    transfers: tuple[Transfer, ...]
    withdrawals: tuple[str, ...]
    digest: str
    """Of the message: what a chain's report says, where the ledger's name has chain and sender in it too."""
    topups: tuple[tuple[str, str, int], ...] = ()


@dataclass
class Block:
    position: int
    height: int
    hash: str
    deposits: list[tx.ScannedDeposit] = field(default_factory=list)
    movements: list[tx.ScannedMovement] = field(default_factory=list)
    outcomes: list[tx.ScannedOutcome] = field(default_factory=list)
    news: list[tuple[str, ...]] = field(default_factory=list)


class Chain:
    """One chain. `balances` is the truth about our addresses, `booked` what the blocks that were scanned explain."""

    def __init__(self, name: str, position: int, height: int, hash_: str) -> None:
        self.name = name
        self.position, self.height, self.hash = position, height, hash_
        self.ours: dict[str, str] = {}
        self.balances: dict[tuple[str, str], int] = {}
        self.booked: dict[tuple[str, str], int] = {}
        self.nonces: dict[str, int] = {}
        self.landed: set[str] = set()
        self.unscanned: list[Block] = []
        self.open = self._fresh()
        self.transactions = 0

    @property
    def solana(self) -> bool:
        return self.name == SOL

    def balance(self, address: str, token: str) -> int:
        return self.balances.get((address, token), 0)

    def mine(self) -> None:
        """Close the open block. Solana skips a slot now and then, a height never."""
        self.unscanned.append(self.open)
        self.position, self.height, self.hash = self.open.position, self.open.height, self.open.hash
        self.open = self._fresh()

    def _fresh(self) -> Block:
        skipped = 1 if self.solana and self.position % 7 == 3 else 0
        position = self.position + 1 + skipped
        digest = hashlib.sha256(f"{self.name} {position}".encode()).hexdigest()
        return Block(position=position, height=self.height + 1, hash=digest)

    def transact(self, *transfers: Transfer, fee_payer: str = "", name: str = "") -> str:
        """A transaction in the open block; its name. Nobody's money but ours is counted."""
        self.transactions += 1
        name = name or f"{self.name}-{self.transactions}"
        moves: list[tuple[str, str, str, int]] = [("fee", fee_payer, NATIVE, -FEE)] if fee_payer else []
        for place, (source, target, token, amount) in enumerate(transfers):
            moves.append((f"log:{place}", source, token, -amount))
            moves.append((f"log:{place}", target, token, amount))
        if self.solana:
            moves = self._merged(moves)
        for ordinal, address, token, delta in moves:
            if address in self.ours and delta:
                self._show(name, ordinal, address, token, delta)
        return name

    def _merged(self, moves: list[tuple[str, str, str, int]]) -> list[tuple[str, str, str, int]]:
        sums: dict[tuple[str, str], int] = {}
        for _, address, token, delta in moves:
            sums[address, token] = sums.get((address, token), 0) + delta
        return [(f"{address}/{token}", address, token, delta) for (address, token), delta in sums.items()]

    def _show(self, name: str, ordinal: str, address: str, token: str, delta: int) -> None:
        there = (address, token)
        self.balances[there] = self.balances.get(there, 0) + delta
        assert self.balances[there] >= 0, "nobody spends what is not there"
        block = self.open
        where: dict[str, Any] = {
            "tx": name,
            "ordinal": ordinal,
            "position": block.position,
            "address": address,
            "token": token,
        }
        if delta > 0 and self.ours[address] != "hot":
            block.deposits.append(tx.ScannedDeposit(**where, amount=str(delta)))
        else:
            block.movements.append(tx.ScannedMovement(**where, delta=str(delta)))
        block.news.append(("moved", address, token, str(delta)))

    def may_land(self, name: str, attempt: Attempt) -> bool:
        """Whether the chain would take these bytes now."""
        if name in self.landed or self.balance(attempt.sender, NATIVE) < FEE:
            return False
        if attempt.nonce is None:
            return self.open.height <= attempt.height + LIFE
        return self.nonces.get(attempt.sender, 0) == attempt.nonce

    def land(self, name: str, attempt: Attempt, *, succeeds: bool) -> None:
        """Include an attempt of ours; it fails by itself where the money is not there."""
        need: dict[tuple[str, str], int] = {(attempt.sender, NATIVE): FEE}
        for source, _, token, amount in attempt.transfers:
            need[source, token] = need.get((source, token), 0) + amount
        succeeds = succeeds and all(self.balance(*there) >= amount for there, amount in need.items())
        transfers = attempt.transfers if succeeds else ()
        tx_name = self.transact(*transfers, fee_payer=attempt.sender, name=f"tx-{name[:24]}")
        self.landed.add(name)
        if attempt.nonce is not None:
            self.nonces[attempt.sender] = attempt.nonce + 1
        self.open.outcomes.append(
            tx.ScannedOutcome(
                tx=tx_name,
                position=self.open.position,
                sender=attempt.sender,
                nonce=attempt.nonce,
                message=attempt.digest,
                succeeded=succeeds,
                fee=str(FEE),
                paid=tuple(
                    tx.ScannedPaid(recipient=target, token=token, amount=str(amount))
                    for _, target, token, amount in transfers
                ),
            )
        )
        self.open.news.append(("landed" if succeeds else "failed", name))


@dataclass
class Promise:
    """A withdrawal as its client knows it."""

    account: str
    asset: str
    chain: str
    to: str
    amount: int
    state: str
    attempt: str = ""
    failures: int = 0


@dataclass
class Waiting:
    """A deposit that is recorded and not credited."""

    name: str
    chain: str
    account: str
    asset: str
    units: int


class Books:
    """What every user should have, by the rules written a second time."""

    def __init__(self) -> None:
        self.available: dict[tuple[str, str], int] = {}
        self.held: dict[tuple[str, str], int] = {}
        self.promises: dict[str, Promise] = {}
        self.waiting: list[Waiting] = []
        self.recorded: set[str] = set()
        self.holds: dict[str, tuple[str, str, str, str]] = {}
        """Name → direction, chain, asset, account."""
        self.paid_out: dict[tuple[str, str], int] = {}
        """(chain, asset) → units that landed attempts delivered."""
        self.payments: dict[str, int] = {}
        self.attempts: dict[str, Attempt] = {}
        self.live: set[str] = set()
        self.retries: dict[str, int] = {}
        """Chain → attempts that may fail."""

    def add(self, account: str, asset: str, units: int) -> None:
        self.available[account, asset] = self.available.get((account, asset), 0) + units

    def reserve(self, account: str, asset: str, units: int) -> None:
        self.add(account, asset, -units)
        self.held[account, asset] = self.held.get((account, asset), 0) + units

    def stopped(self, direction: str, chain: str, asset: str, account: str) -> bool:
        """Whether any hold stops it."""
        doors = {"both": ("deposits", "withdrawals"), "all": ("deposits", "withdrawals", "transfers")}
        return any(
            direction in doors.get(way, (way,))
            and where in ("", chain)
            and what in ("", asset)
            and who in ("", account)
            for way, where, what, who in self.holds.values()
        )

    def credit(self) -> None:
        """Whatever waits and is not held."""
        for item in list(self.waiting):
            if not self.stopped("deposits", item.chain, item.asset, item.account):
                self.add(item.account, item.asset, item.units)
                self.waiting.remove(item)

    def scanned(self, chain: Chain, blocks: list[Block], owners: dict[str, str]) -> None:
        """Everything that follows from blocks that the ledger has taken."""
        for block in blocks:
            topped = self._top_ups(block)
            for fact in block.deposits:
                there = (fact.tx, fact.address, fact.token)
                ours = min(int(fact.amount), topped.get(there, 0))
                topped[there] = topped.get(there, 0) - ours
                self._deposit(chain, fact, int(fact.amount) - ours, owners)
            for kind, *rest in block.news:
                if kind == "moved":
                    where = (rest[0], rest[1])
                    chain.booked[where] = chain.booked.get(where, 0) + int(rest[2])
                elif kind == "stolen":
                    self.holds[f"auto:integrity:{chain.name}:{rest[0]}"] = ("all", chain.name, "", "")
                else:
                    self._landed(rest[0], succeeded=kind == "landed")
        self.credit()

    def _top_ups(self, block: Block) -> dict[tuple[str, str, str], int]:
        sums: dict[tuple[str, str, str], int] = {}
        for out in block.outcomes:
            ours = next(a for a in self.attempts.values() if (a.digest, a.sender) == (out.message, out.sender))
            for recipient, token, amount in ours.topups if out.succeeded else ():
                sums[out.tx, recipient, token] = sums.get((out.tx, recipient, token), 0) + amount
        return sums

    def _deposit(self, chain: Chain, fact: tx.ScannedDeposit, raw: int, owners: dict[str, str]) -> None:
        name = f"{chain.name}:{fact.tx}:{fact.ordinal}"
        assert name not in self.recorded
        if raw == 0:
            return
        self.recorded.add(name)
        if raw >= MINIMUM:
            asset = COIN[chain.name] if fact.token == NATIVE else "USDC"
            units = raw * scale(chain.name, fact.token)
            self.waiting.append(Waiting(name, chain.name, owners[fact.address], asset, units))

    def _landed(self, name: str, *, succeeded: bool) -> None:
        attempt = self.attempts[name]
        rivals = [
            other
            for other in sorted(self.live)
            if other != name
            and attempt.nonce is not None
            and (self.attempts[other].chain, self.attempts[other].sender, self.attempts[other].nonce)
            == (attempt.chain, attempt.sender, attempt.nonce)
        ]
        self.live.discard(name)
        for withdrawal in attempt.withdrawals:
            promise = self.promises[withdrawal]
            if succeeded:
                self._pay(withdrawal, promise)
            else:
                self._fail(attempt, promise)
        for rival in rivals:
            self.live.discard(rival)
            for withdrawal in self.attempts[rival].withdrawals:
                if withdrawal not in attempt.withdrawals and self.promises[withdrawal].state == "in_attempt":
                    self.promises[withdrawal].state = "queued"

    def _pay(self, withdrawal: str, promise: Promise) -> None:
        promise.state = "settled"
        self.payments[withdrawal] = self.payments.get(withdrawal, 0) + 1
        self.held[promise.account, promise.asset] -= promise.amount
        place = (promise.chain, promise.asset)
        self.paid_out[place] = self.paid_out.get(place, 0) + promise.amount

    def _fail(self, attempt: Attempt, promise: Promise) -> None:
        promise.failures += 1
        if promise.failures < self.retries.get(attempt.chain, 1):
            promise.state = "queued"
        else:
            promise.state = "failed"
            self.release(promise)

    def release(self, promise: Promise) -> None:
        self.held[promise.account, promise.asset] -= promise.amount
        self.add(promise.account, promise.asset, promise.amount)


def token_of(chain: str, asset: str) -> str | None:
    """The token that an asset is on a chain."""
    return TOKEN[chain] if asset == "USDC" else NATIVE if COIN[chain] == asset else None
