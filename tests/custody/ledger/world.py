"""A small exchange for the ledger's tests: three chains, one asset on all of them, everybody with a key of their own.

`ethereum` and `binance` are of the EVM's family, where USDC has 6 and 18 decimals, so its unit is 10^-18; `solana` has
it with 6. Nothing is put into the state by hand: whatever a test wants is said in a signed envelope, and each `say` is
a block. The ledger does not look into messages, so here they are any bytes that differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from typing import Any

from msgspec.structs import replace

from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.execution import Executed, Replica
from custody.ledger import encoding
from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.identifiers import attempt_id, available, held
from custody.ledger.invariants import violations
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import State
from custody.ledger.transition import Repeat, Result

DAY = 86_400_000
START = 1_700_000_000_000 // DAY * DAY + 3_600_000
"""One o'clock in the morning, UTC."""
ETH, SOL, BSC = "ethereum", "solana", "binance"
CHAINS = (ETH, SOL, BSC)
NATIVE = "native"
TOKEN = {ETH: "0xUSDC", SOL: "USDCmint", BSC: "0xBUSDC"}
COIN = {ETH: "ETH", SOL: "SOL", BSC: "BNB"}
DECIMALS = {(ETH, NATIVE): 18, (SOL, NATIVE): 9, (BSC, NATIVE): 18, (ETH, "0xUSDC"): 6, (SOL, "USDCmint"): 6}
UNIT = {"ETH": 18, "SOL": 9, "BNB": 18, "USDC": 18}
ROLES = {
    "watcher": (Role.WATCHER,),
    "composer": (Role.COMPOSER,),
    "signer": (Role.SIGNER,),
    "sequencer": (Role.SEQUENCER,),
    "relay": (Role.RELAY,),
    "engine": (Role.ENGINE,),
    "payouts": (Role.PAYOUTS,),
    "security": (Role.SECURITY,),
    "operator": (Role.OPERATOR,),
    "admin-1": (Role.ADMIN,),
    "admin-2": (Role.ADMIN,),
    "admin-3": (Role.ADMIN,),
}


def key(name: str, version: str = "") -> SigningKey:
    """Everybody's key, always the same; a `version` is another one under the same name."""
    return SigningKey(name, hashlib.sha256(f"{name}{version}".encode()).digest())


def scale(chain: str, token: str) -> int:
    """What one raw unit of a token is in its asset's unit."""
    asset = COIN[chain] if token == NATIVE else "USDC"
    return int(10 ** (UNIT[asset] - DECIMALS.get((chain, token), 18)))


def block_hash(chain: str, position: int) -> str:
    """A block's hash, the same in every test."""
    return hashlib.sha256(f"{chain} {position}".encode()).hexdigest()


def genesis(**changes: Any) -> tx.Genesis:
    """The founding of this exchange; `changes` replace fields."""

    def on(chain: str, token: str) -> tx.Representation:
        decimals = DECIMALS.get((chain, token), 18)
        return tx.Representation(chain=chain, token=token, decimals=decimals, program="", minimum="10")

    fields: dict[str, Any] = {
        "ledger": "",
        "seq": 0,
        "name": "test",
        "quorum": 2,
        "keys": tuple(tx.KeyRow(id=n, public=key(n).public.hex(), roles=roles) for n, roles in ROLES.items()),
        "chains": tuple(
            tx.ChainRow(
                chain=chain,
                family="solana" if chain == SOL else "evm",
                identity=chain,
                decoder=1,
                position=100,
                height=90 if chain == SOL else 100,
                hash=block_hash(chain, 100),
            )
            for chain in CHAINS
        ),
        "assets": (
            *(tx.AssetRow(asset=COIN[c], decimals=UNIT[COIN[c]], representations=(on(c, NATIVE),)) for c in CHAINS),
            tx.AssetRow(asset="USDC", decimals=18, representations=tuple(on(c, TOKEN[c]) for c in CHAINS)),
        ),
        "parameters": CAPS,
    }
    return tx.Genesis(**{**fields, **changes})


CAPS = tuple(tx.ParameterRow(name="fee_cap", scope=chain, value=str(10**18)) for chain in (ETH, BSC, SOL))
"""A chain without a cap spends nothing."""


class World:
    """The ledger, everybody's keys, and the blocks so far. `now` stands still unless a test moves it."""

    def __init__(self, **changes: Any) -> None:
        self.now = START
        self.keys = {name: key(name) for name in ROLES}
        self.replica = Replica()
        self.executed: list[Executed] = []
        self._messages = 0
        founding = envelopes.sign(self.keys["admin-1"], encoding.encode(genesis(**changes)))
        found = self.replica.found(founding, self.keys["sequencer"], now=self.now)
        assert not isinstance(found, Rejection), found
        self.executed.append(found)

    @property
    def state(self) -> State:
        return self.replica.state

    # --- saying something

    def next(self, name: str) -> int:
        window = self.state.windows.get(name)
        return 0 if window is None else window.high + 1

    def envelope(self, name: str, kind: type[tx.Transaction], /, **fields: Any) -> Envelope:
        """Signed and not yet said; `seq` and `ledger` may be given."""
        said = kind(**{"ledger": self.state.ledger, "seq": self.next(name), **fields})
        return envelopes.sign(self.keys[name], encoding.encode(said))

    def put(self, *batch: Envelope) -> list[Result | Repeat | Rejection]:
        """One block of envelopes; those that were refused before admission are not in it."""
        draft = self.replica.begin(now=self.now)
        taken = [draft.take(envelope) for envelope in batch]
        if draft.entries:
            self.executed.append(self.replica.seal(draft, self.keys["sequencer"]))
        return taken

    def say(self, name: str, kind: type[tx.Transaction], /, **fields: Any) -> str:
        """The code it is answered with. A refusal must leave the books as they were."""
        before = self.money()
        (taken,) = self.put(self.envelope(name, kind, **fields))
        if taken.code not in ("ok", "endorsed"):
            assert self.money() == before, "a refused transaction moved something"
        return taken.code

    def ok(self, name: str, kind: type[tx.Transaction], /, **fields: Any) -> tuple[ev.Event, ...]:
        """Say it, insist on yes, and look at the books."""
        (taken,) = self.put(self.envelope(name, kind, **fields))
        assert isinstance(taken, Result), taken
        assert taken.code == "ok", taken.code
        assert violations(self.state) == ()
        return taken.events

    def admins(self, kind: type[tx.Transaction], /, **fields: Any) -> tuple[ev.Event, ...]:
        """An act of administration by its quorum."""
        assert self.say("admin-1", kind, **fields) == "endorsed"
        return self.ok("admin-2", kind, **fields)

    def parameter(self, name: str, scope: str, value: int) -> tuple[ev.Event, ...]:
        return self.admins(tx.ParameterSet, name=name, scope=scope, value=str(value))

    # --- looking

    def money(self) -> tuple[object, ...]:
        """Everything a refusal must not touch."""
        tables = [table for table in self.state.tables() if table is not self.state.said]
        return tuple(tuple(table.rows()) for table in tables if table is not self.state.windows)

    def available(self, account: str, asset: str = "USDC") -> int:
        return self.state.balance(asset, available(account))

    def held(self, account: str, asset: str = "USDC") -> int:
        return self.state.balance(asset, held(account))

    def withdrawal(self, name: str) -> str:
        return str(self.state.withdrawals.need(name).state)

    def attempt_state(self, name: str) -> str:
        return str(self.state.attempts.need(name).state)

    def holds(self) -> list[str]:
        return [str(name[0]) for name, _ in self.state.holds.rows()]

    # --- addresses

    def user(self, account: str, chain: str) -> str:
        """Give a user a watched deposit address, `<account>@<chain>`."""
        self.ok("payouts", tx.AddressRequested, account=account, chain=chain)
        index = self.state.slots.need(account, chain).index
        return self.attest(chain, f"{account}@{chain}", "deposit", account, index)

    def attest(self, chain: str, address: str, tier: str = "hot", account: str = "", index: int = 0) -> str:
        self.ok("signer", tx.AddressAttested, chain=chain, address=address, tier=tier, account=account, index=index)
        watched = self.state.chains.need(chain).watched + 1
        self.ok("watcher", tx.AddressAssigned, chain=chain, address=address, watched=watched)
        return address

    # --- the chain's side

    def range(
        self,
        chain: str,
        *,
        deposits: Iterable[tx.ScannedDeposit] = (),
        movements: Iterable[tx.ScannedMovement] = (),
        outcomes: Iterable[tx.ScannedOutcome] = (),
        count: int = 1,
        **changes: Any,
    ) -> dict[str, Any]:
        """The fields of the `chain.scanned` that comes next; facts without a position stand in its first block."""
        row, cursor = self.state.chains.need(chain), self.state.cursors.need(chain)
        first = cursor.position + 1

        def placed(facts: Iterable[Any]) -> tuple[Any, ...]:
            return tuple(fact if fact.position else replace(fact, position=first) for fact in facts)

        fields: dict[str, Any] = {
            "chain": chain,
            "first": first,
            "last": first + count - 1,
            "parent": cursor.hash,
            "blocks": tuple(
                tx.ScannedBlock(
                    position=first + step, height=cursor.height + 1 + step, hash=block_hash(chain, first + step)
                )
                for step in range(count)
            ),
            "deposits": placed(deposits),
            "movements": placed(movements),
            "outcomes": placed(outcomes),
            "decoder": row.decoder,
            "tokens": row.tokens,
            "watched": row.watched,
        }
        return {**fields, **changes}

    def scan(self, chain: str, **facts: Any) -> tuple[ev.Event, ...]:
        """The next block, or `count` of them, with these facts."""
        return self.ok("watcher", tx.ChainScanned, **self.range(chain, **facts))

    def advance(self, chain: str, count: int) -> None:
        """Blocks in which nothing of ours happens."""
        while count > 0:
            self.scan(chain, count=min(count, 400))
            count -= 400

    def pay_in(self, account: str, chain: str, token: str, raw: int, name: str = "") -> tuple[ev.Event, ...]:
        """A deposit in the next block."""
        name = name or f"in-{self.state.cursors.need(chain).position}"
        return self.scan(chain, deposits=[deposit(name, f"{account}@{chain}", token, raw)])

    def fund(self, chain: str, token: str, raw: int, address: str = "") -> None:
        """The owner's money comes to the hot wallet and is named as such."""
        name = f"fund-{self.state.cursors.need(chain).position}"
        self.scan(chain, movements=[movement(name, address or f"hot@{chain}", token, raw)])
        self.admins(tx.TreasuryFunded, chain=chain, tx=name, ordinal="native")

    # --- withdrawals and attempts

    def request(self, name: str, account: str = "alice", asset: str = "USDC", chain: str = ETH, **changes: Any) -> str:
        """Ask for 100 × 10^-6 USDC unless told otherwise; the code of the answer."""
        fields: dict[str, Any] = {"to": "stranger", "amount": str(10**14), "create_account": False, **changes}
        return self.say("payouts", tx.WithdrawalRequested, id=name, account=account, asset=asset, chain=chain, **fields)

    def payment(self, withdrawal: str, **changes: Any) -> tx.Purpose:
        """The purpose that pays a withdrawal from its chain's hot wallet, exactly."""
        row = self.state.withdrawals.need(withdrawal)
        item = self.state.assets.need(row.asset).on(row.chain)
        assert item is not None
        purpose = tx.Purpose(
            kind="withdrawal",
            id=withdrawal,
            source=f"hot@{row.chain}",
            recipient=row.to,
            token=item.token,
            amount=str(row.raw),
            reference="",
            create_account=row.create_account,
        )
        return replace(purpose, **changes)

    def attempt(self, chain: str, *purposes: tx.Purpose, **changes: Any) -> dict[str, Any]:
        """The fields of an `attempt.prepared` from the hot wallet, in its lane's next place."""
        self._messages += 1
        message = changes.pop("message", f"message {self._messages}".encode())
        sender = changes.pop("sender", f"hot@{chain}")
        lane = self.state.lanes.get(chain, sender)
        fields: dict[str, Any] = {
            "attempt": attempt_id(chain, sender, hashlib.sha256(message).hexdigest()),
            "chain": chain,
            "sender": sender,
            "nonce": None if chain == SOL else 0 if lane is None else lane.next_nonce,
            "blockhash": self.state.cursors.need(chain).hash if chain == SOL else None,
            "excludes": (),
            "purposes": purposes,
            "parameters": {"gas": "21000"},
            "fee_cap": "1000",
            "rent_cap": "0",
            "message": message.hex(),
        }
        return {**fields, **changes}

    def prepare(self, chain: str, *purposes: tx.Purpose, **changes: Any) -> str:
        """Record an attempt; its id."""
        fields = self.attempt(chain, *purposes, **changes)
        self.ok("composer", tx.AttemptPrepared, **fields)
        return str(fields["attempt"])

    def sign(self, attempt: str) -> None:
        self.ok("signer", tx.AttemptSigned, attempt=attempt, raw=f"{attempt}00", tx=f"tx-{attempt[:20]}")

    def outcome(self, attempt: str, **changes: Any) -> tx.ScannedOutcome:
        """What a scan shows of an attempt that landed and paid all it says, for a fee of 7."""
        row = self.state.attempts.need(attempt)
        succeeded = changes.get("succeeded", True)
        fields: dict[str, Any] = {
            "tx": f"tx-{attempt[:20]}",
            "position": 0,
            "sender": row.sender,
            "nonce": row.nonce,
            "message": hashlib.sha256(bytes.fromhex(row.message)).hexdigest(),
            "succeeded": True,
            "fee": "7",
            "paid": tuple(
                tx.ScannedPaid(recipient=item.recipient, token=item.token, amount=item.amount)
                for item in row.purposes
                if succeeded
            ),
        }
        return tx.ScannedOutcome(**{**fields, **changes})

    def land(self, attempt: str, *, extra: Iterable[tx.ScannedMovement] = (), **changes: Any) -> tuple[ev.Event, ...]:
        """The attempt lands in the next block, with all that its purposes move and `extra`."""
        row, out = self.state.attempts.need(attempt), self.outcome(attempt, **changes)
        deltas: dict[tuple[str, str], int] = {(row.sender, NATIVE): -int(out.fee)}
        for item in row.purposes if out.succeeded else ():
            deltas[item.source, item.token] = deltas.get((item.source, item.token), 0) - int(item.amount)
            if self.state.addresses.get(row.chain, item.recipient) is not None:
                there = (item.recipient, item.token)
                deltas[there] = deltas.get(there, 0) + int(item.amount)
        gains = [(where, raw) for where, raw in deltas.items() if raw > 0 and self._is_deposit(row.chain, where[0])]
        return self.scan(
            row.chain,
            outcomes=[out],
            deposits=[deposit(out.tx, a, t, raw, f"{a}/{t}") for (a, t), raw in gains],
            movements=[
                *(
                    movement(out.tx, a, t, raw, f"{a}/{t}")
                    for (a, t), raw in deltas.items()
                    if ((a, t), raw) not in gains
                ),
                *extra,
            ],
        )

    def evidence(self, attempt: str, *providers: str, height: int | None = None, found: bool = False) -> str:
        """Providers say that a transaction is absent as of a finalized height; by default far beyond its life."""
        row = self.state.attempts.need(attempt)
        at = row.height + 10_000 if height is None else height
        return self.say(
            "watcher",
            tx.AttemptEvidence,
            attempt=attempt,
            absences=tuple(
                tx.AbsenceSeen(provider=name, found=found, finalized_height=at, context=at) for name in providers
            ),
        )

    # --- holds

    def hold(self, name: str, by: str = "relay", **changes: Any) -> str:
        """Pause everything unless narrowed; the code of the answer."""
        fields: dict[str, Any] = {
            **dict.fromkeys(("chain", "asset", "account", "wallet", "provider"), ""),
            "direction": "all",
            "origin": "operator",
            "cause": "pause",
            "reason": "a test",
            "actor": by if by == "operator" else "uid:1000",
            "until": 0,
            **changes,
        }
        return self.say(by, tx.HoldSet, hold=name, **fields)

    def lift(self, name: str, by: str = "operator") -> str:
        actor = by if by == "operator" else "auto"
        return self.say(by, tx.HoldLifted, hold=name, reason="over", actor=actor)

    def _is_deposit(self, chain: str, address: str) -> bool:
        row = self.state.addresses.get(chain, address)
        return row is not None and row.tier == "deposit"


def deposit(name: str, address: str, token: str, raw: int | str, ordinal: str = "native") -> tx.ScannedDeposit:
    """A deposit fact that still needs its place."""
    return tx.ScannedDeposit(tx=name, ordinal=ordinal, position=0, address=address, token=token, amount=str(raw))


def movement(name: str, address: str, token: str, raw: int | str, ordinal: str = "native") -> tx.ScannedMovement:
    """A movement fact that still needs its place."""
    return tx.ScannedMovement(tx=name, ordinal=ordinal, position=0, address=address, token=token, delta=str(raw))


def busy() -> World:
    """Alice and Bob with addresses everywhere, hot wallets, 1,000,000 raw units of everything deposited by Alice on
    each chain and as much of the owner's own in each hot wallet. Made once, then copied."""
    made, world = _busy(), object.__new__(World)
    world.now, world.keys, world.executed, world._messages = made.now, dict(made.keys), list(made.executed), 0
    world.replica = deepcopy(made.replica)
    return world


@cache
def _busy() -> World:
    world = World()
    for chain in CHAINS:
        world.attest(chain, f"hot@{chain}")
        for account in ("alice", "bob"):
            world.user(account, chain)
        for token in (NATIVE, TOKEN[chain]):
            world.pay_in("alice", chain, token, 10**6)
            world.fund(chain, token, 10**6)
    return world


def replayed(executed: Iterable[Executed]) -> Replica:
    """A fresh replica that took every block from others."""
    replica = Replica()
    for item in executed:
        replica.execute(item.block)
    return replica
