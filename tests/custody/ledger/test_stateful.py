"""The model is the first test: an exchange under honest chains, dishonest scans, pauses and races of all kinds.

After every step the invariants hold, every user has what a second set of rules says, the wallet book is what the
chain's scanned blocks explain, and a follower fed block by block stands at the same root. At the end the journal is
replayed from genesis.
"""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from custody.execution import Replica
from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.identifiers import available, held
from custody.ledger.invariants import violations
from custody.ledger.transition import Repeat
from tests.custody.ledger.chainmodel import Attempt, Books, Chain, Promise, token_of
from tests.custody.ledger.world import CHAINS, COIN, DAY, NATIVE, SOL, TOKEN, World, replayed, scale

PICK = st.integers(0, 10_000)
CHAIN = st.sampled_from(CHAINS)
ASSETS = ("ETH", "SOL", "BNB", "USDC")
BAD_SCANS: dict[str, tuple[dict[str, Any], str]] = {
    "not joined": ({"parent": "elsewhere"}, "scan_not_joined"),
    "old decoder": ({"decoder": 0}, "scan_stale"),
    "old tokens": ({"tokens": 0}, "scan_stale"),
    "old watched set": ({"watched": 0}, "scan_stale"),
    "a watched set of the future": ({"watched": 9999}, "scan_disordered"),
    "no blocks": ({"blocks": ()}, "scan_disordered"),
    "beyond its blocks": ({"last": 1 << 40}, "scan_disordered"),
}
DIRECTIONS = ("deposits", "withdrawals", "both", "transfers", "all")


class Exchange(RuleBasedStateMachine):
    """One exchange on three chains."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.follower = Replica()
        self.followed = 0
        self.credited: dict[str, int] = {}
        self.books = Books()
        self.chains: dict[str, Chain] = {}
        self.owners: dict[str, dict[str, str]] = {}
        self.names = 0
        for name in CHAINS:
            cursor = self.world.state.cursors.need(name)
            self.chains[name] = Chain(name, cursor.position, cursor.height, cursor.hash)
            self.owners[name] = {}
            self._own(name, self.world.attest(name, f"hot@{name}"), "hot", "")
            for account in ("alice", "bob"):
                self._own(name, self.world.user(account, name), "deposit", account)
            for token in (NATIVE, TOKEN[name]):
                self._fund(name, token, 100_000)
                self._pay_in(name, f"alice@{name}", token, 50_000)
        for name in CHAINS:
            self._scan(name)

    # --- what a step is made of

    def _own(self, chain: str, address: str, tier: str, account: str) -> None:
        self.chains[chain].ours[address] = tier
        self.owners[chain][address] = account

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}-{self.names}"

    def _fund(self, chain: str, token: str, raw: int) -> None:
        self.chains[chain].transact(("owner", f"hot@{chain}", token, raw))

    def _pay_in(self, chain: str, address: str, token: str, raw: int) -> None:
        self.chains[chain].transact(("stranger", address, token, raw))

    def _range(self, name: str) -> tuple[dict[str, Any], list[Any]]:
        chain = self.chains[name]
        chain.mine()
        row, blocks = self.world.state.chains.need(name), chain.unscanned
        cursor = self.world.state.cursors.need(name)
        fields = {
            "chain": name,
            "first": cursor.position + 1,
            "last": blocks[-1].position,
            "parent": cursor.hash,
            "blocks": tuple(tx.ScannedBlock(position=b.position, height=b.height, hash=b.hash) for b in blocks),
            "deposits": tuple(fact for b in blocks for fact in b.deposits),
            "movements": tuple(fact for b in blocks for fact in b.movements),
            "outcomes": tuple(fact for b in blocks for fact in b.outcomes),
            "decoder": row.decoder,
            "tokens": row.tokens,
            "watched": row.watched,
        }
        return fields, blocks

    def _scan(self, name: str) -> None:
        fields, blocks = self._range(name)
        assert self.world.say("watcher", tx.ChainScanned, **fields) == "ok"
        self.chains[name].unscanned = []
        self.books.scanned(self.chains[name], list(blocks), self.owners[name])

    def _open_attempts(self, chain: str = "") -> list[str]:
        live = sorted(self.books.live)
        return [name for name in live if chain in ("", self.books.attempts[name].chain)]

    # --- chains

    @rule(chain=CHAIN, pick=PICK, coin=st.booleans(), raw=st.integers(1, 5000))
    def somebody_pays_in(self, chain: str, pick: int, coin: bool, raw: int) -> None:
        addresses = [address for address, tier in sorted(self.chains[chain].ours.items()) if tier == "deposit"]
        token = NATIVE if coin else TOKEN[chain]
        self._pay_in(chain, addresses[pick % len(addresses)], token, raw)

    @rule(chain=CHAIN, raws=st.lists(st.integers(1, 200), min_size=2, max_size=4))
    def one_transaction_pays_many(self, chain: str, raws: list[int]) -> None:
        there = [f"{('alice', 'bob')[place % 2]}@{chain}" for place in range(len(raws))]
        self.chains[chain].transact(
            *(("stranger", address, TOKEN[chain], raw) for address, raw in zip(there, raws, strict=True))
        )

    @rule(chain=CHAIN, coin=st.booleans(), raw=st.integers(1, 5000))
    def the_owner_funds_a_wallet(self, chain: str, coin: bool, raw: int) -> None:
        self._fund(chain, NATIVE if coin else TOKEN[chain], raw)

    @rule(chain=CHAIN)
    def scanned(self, chain: str) -> None:
        self._scan(chain)

    @rule(chain=CHAIN, bad=st.sampled_from(sorted(BAD_SCANS)))
    def scanned_badly(self, chain: str, bad: str) -> None:
        changes, code = BAD_SCANS[bad]
        fields, _ = self._range(chain)
        assert self.world.say("watcher", tx.ChainScanned, **{**fields, **changes}) == code

    @rule(chain=CHAIN)
    def a_scan_names_an_address_that_is_not_ours(self, chain: str) -> None:
        fields, blocks = self._range(chain)
        fact = tx.ScannedDeposit(
            tx="forged", ordinal="x", position=blocks[0].position, address="theirs", token=NATIVE, amount="99"
        )
        forged = {**fields, "deposits": (*fields["deposits"], fact)}
        assert self.world.say("watcher", tx.ChainScanned, **forged) == "scan_disordered"

    @rule(chain=CHAIN)
    def a_scan_tells_a_fact_twice(self, chain: str) -> None:
        fields, _ = self._range(chain)
        kind = next((kind for kind in ("deposits", "movements", "outcomes") if fields[kind]), "")
        if kind:
            twice = {**fields, kind: (*fields[kind], fields[kind][0])}
            assert self.world.say("watcher", tx.ChainScanned, **twice) == "scan_disordered"

    @rule(chain=CHAIN)
    def a_scan_is_sent_again(self, chain: str) -> None:
        fields, _ = self._range(chain)
        self._scan(chain)
        assert self.world.say("watcher", tx.ChainScanned, **fields) == "scan_not_joined"

    @rule(pick=PICK)
    def a_receipt_is_the_owners(self, pick: int) -> None:
        rows = list(self.world.state.surplus.rows())
        if rows:
            (chain, name, ordinal), _ = rows[pick % len(rows)]
            self.world.admins(tx.TreasuryFunded, chain=chain, tx=name, ordinal=ordinal)

    @rule(chain=CHAIN, raw=st.integers(1, 500))
    def money_leaves_without_an_attempt(self, chain: str, raw: int) -> None:
        model = self.chains[chain]
        if model.balance(f"hot@{chain}", TOKEN[chain]) >= raw:
            name = model.transact((f"hot@{chain}", "thief", TOKEN[chain], raw))
            model.open.news.append(("stolen", name))

    @rule(chain=CHAIN, surplus=st.integers(0, 3), lie=st.booleans())
    def balances_are_compared(self, chain: str, surplus: int, lie: bool) -> None:
        self._scan(chain)
        model = self.chains[chain]
        there = (f"hot@{chain}", TOKEN[chain])
        truth = model.balance(*there)
        if lie and truth:
            said = truth - 1
            self.books.holds[f"auto:reconciliation:{chain}:USDC:{model.position}"] = ("withdrawals", chain, "USDC", "")
        else:
            said = model.balances[there] = truth + surplus
            model.booked[there] = said
        rows = tuple(
            tx.ObservedBalance(address=address, token=token, amount=str(said if (address, token) == there else amount))
            for (address, token), amount in sorted(model.balances.items())
        )
        self.world.ok("watcher", tx.BalancesObserved, chain=chain, position=model.position, balances=rows)

    @rule(account=st.sampled_from(["carol", "dave"]), chain=CHAIN)
    def an_address_is_asked_for(self, account: str, chain: str) -> None:
        if self.world.state.slots.get(account, chain) is None:
            self._own(chain, self.world.user(account, chain), "deposit", account)
        else:
            assert self.world.ok("payouts", tx.AddressRequested, account=account, chain=chain) == ()

    # --- withdrawals

    @rule(
        account=st.sampled_from(["alice", "alice", "bob", "carol"]),
        asset=st.sampled_from(ASSETS),
        chain=CHAIN,
        raw=st.integers(1, 60_000),
        to=st.sampled_from(["stranger", "bob", "hot"]),
    )
    def anything_is_requested(self, account: str, asset: str, chain: str, raw: int, to: str) -> None:
        self._request(account, asset, chain, raw, to)

    @rule(coins=st.lists(st.booleans(), min_size=1, max_size=3), chain=CHAIN, raw=st.integers(1, 9000))
    def withdrawals_are_requested(self, coins: list[bool], chain: str, raw: int) -> None:
        for coin in coins:
            self._request("alice", COIN[chain] if coin else "USDC", chain, raw, "stranger")

    def _request(self, account: str, asset: str, chain: str, raw: int, to: str) -> None:
        token = token_of(chain, asset)
        amount = raw * (scale(chain, token) if token else 1)
        target = to if to == "stranger" else f"{to}@{chain}"
        name = self._name("w")
        code = self.world.request(name, account, asset, chain, amount=str(amount), to=target)
        assert code == self._expected(account, asset, chain, amount, to)
        if code != "ok":
            return
        promise = Promise(account, asset, chain, target, amount, "queued")
        self.books.promises[name] = promise
        limit = self.world.state.parameter("approval_above", asset) or 0
        if limit and amount > limit:
            promise.state = "awaiting_approval"
            self.books.reserve(account, asset, amount)
        elif to == "bob":
            promise.state = "settled"
            self.books.add(account, asset, -amount)
            self.books.add("bob", asset, amount)
        else:
            self.books.reserve(account, asset, amount)

    def _expected(self, account: str, asset: str, chain: str, amount: int, to: str) -> str:
        if all(account not in owners.values() for owners in self.owners.values()):
            return "unknown_account"
        if token_of(chain, asset) is None:
            return "asset_not_on_chain"
        if to == "hot":
            return "recipient_is_ours"
        if self.books.available.get((account, asset), 0) < amount:
            return "insufficient_balance"
        limit = self.world.state.parameter("approval_above", asset) or 0
        direct = to == "bob" and not (limit and amount > limit)
        return "held" if direct and self._shut(asset, chain, account) else "ok"

    def _shut(self, asset: str, chain: str, account: str) -> bool:
        return self.books.stopped("withdrawals", chain, asset, account) or any(
            self.books.stopped("transfers", "-", asset, who) for who in (account, "bob")
        )

    @precondition(lambda self: self.books.promises)
    @rule(pick=PICK, other=st.booleans())
    def a_withdrawal_is_requested_again(self, pick: int, other: bool) -> None:
        name = sorted(self.books.promises)[pick % len(self.books.promises)]
        promise = self.books.promises[name]
        code = self.world.request(
            name,
            promise.account,
            promise.asset,
            promise.chain,
            amount=str(promise.amount),
            to="another" if other else promise.to,
        )
        assert code == ("id_conflict" if other else "ok")

    @precondition(lambda self: self.books.promises)
    @rule(pick=PICK)
    def a_withdrawal_is_approved(self, pick: int) -> None:
        name = sorted(self.books.promises)[pick % len(self.books.promises)]
        promise = self.books.promises[name]
        code = self.world.say("operator", tx.WithdrawalApproved, id=name)
        own = promise.to == f"bob@{promise.chain}"
        if promise.state != "awaiting_approval":
            assert code == "withdrawal_not_waiting"
        elif own and self._shut(promise.asset, promise.chain, promise.account):
            assert code == "held"
        else:
            assert code == "ok"
            promise.state = "settled" if own else "queued"
            if own:
                self.books.held[promise.account, promise.asset] -= promise.amount
                self.books.add("bob", promise.asset, promise.amount)

    @precondition(lambda self: self.books.promises)
    @rule(pick=PICK)
    def a_withdrawal_is_cancelled(self, pick: int) -> None:
        name = sorted(self.books.promises)[pick % len(self.books.promises)]
        promise = self.books.promises[name]
        code = self.world.say("payouts", tx.WithdrawalCancelled, id=name, reason="")
        if promise.state in ("queued", "awaiting_approval"):
            assert code == "ok"
            promise.state = "cancelled"
            self.books.release(promise)
        else:
            assert code == "withdrawal_not_waiting"

    # --- attempts

    @rule(chain=CHAIN, most=st.integers(1, 3), topup=st.integers(0, 40), rounds=st.integers(1, 3))
    def payments_are_prepared(self, chain: str, most: int, topup: int, rounds: int) -> None:
        for _ in range(rounds):
            queued = [n for n, p in self.books.promises.items() if (p.state, p.chain) == ("queued", chain)]
            names = queued[: most if chain == SOL else 1]
            purposes = [self.world.payment(name) for name in names]
            if topup and (chain == SOL or not names):
                purposes.append(self._move("topup", chain, f"hot@{chain}", f"alice@{chain}", NATIVE, topup))
            if purposes:
                self._prepare(chain, purposes, names)

    @rule(chain=CHAIN, scan=st.booleans(), succeeds=st.booleans(), bump=st.sampled_from(["", "bump", "fill"]))
    def a_withdrawal_goes_all_the_way(self, chain: str, scan: bool, succeeds: bool, bump: str) -> None:
        """Requested, prepared, perhaps replaced, landed, at once: what random steps find too seldom together."""
        self._request("alice", "USDC", chain, 70, "stranger")
        self.payments_are_prepared(chain, most=2, topup=5, rounds=1)
        names = [name for name in self._open_attempts(chain) if self.books.attempts[name].withdrawals]
        if not names:
            return
        attempt = self.books.attempts[names[-1]]
        if bump and attempt.nonce is not None:
            self._replace(attempt, filler=bump == "fill")
        for name in self._open_attempts(chain):
            if self.chains[chain].may_land(name, self.books.attempts[name]):
                self.chains[chain].land(name, self.books.attempts[name], succeeds=succeeds)
                break
        if scan:
            self._scan(chain)

    @rule(claim=st.booleans())
    def a_blockhash_runs_out(self, claim: bool) -> None:
        self._request("alice", "SOL", SOL, 50, "stranger")
        self.payments_are_prepared(SOL, most=2, topup=0, rounds=1)
        self.solana_moves_on(182)
        for _ in self._open_attempts(SOL) if claim else ():
            self.a_death_is_claimed(0, sane=True)

    @rule(chain=CHAIN, raw=st.integers(1, 400), coin=st.booleans())
    def a_sweep_is_prepared(self, chain: str, raw: int, coin: bool) -> None:
        token = NATIVE if coin else TOKEN[chain]
        purpose = self._move("sweep", chain, f"alice@{chain}", f"hot@{chain}", token, raw)
        self._prepare(chain, [purpose], [], sender=f"hot@{chain}" if chain == SOL else f"alice@{chain}")

    def _move(self, kind: str, chain: str, source: str, target: str, token: str, raw: int) -> tx.Purpose:
        return tx.Purpose(
            kind=kind, id="", source=source, recipient=target, token=token, amount=str(raw), reference="",
            create_account=False,
        )  # fmt: skip

    def _prepare(self, chain: str, purposes: list[tx.Purpose], names: list[str], **changes: Any) -> None:
        fields = self.world.attempt(chain, *purposes, **changes)
        sender = fields["sender"]
        code = self.world.say("composer", tx.AttemptPrepared, **fields)
        doors = [("USDC" if item.token == TOKEN[chain] else COIN[chain], item.id) for item in purposes] or [("", "")]
        stopped = any(
            self.books.stopped("withdrawals", chain, asset, self.books.promises[who].account if who else "")
            for asset, who in doors
        )
        signed = any(self.world.attempt_state(name) == "signed" for name in fields["excludes"])
        if fields["excludes"] and (signed or not purposes):
            stopped = any(hold[0] == "all" and hold[1] == chain for hold in self._integrity())
        assert code == ("held" if stopped else "ok"), code
        if code == "held":
            return
        self.books.attempts[fields["attempt"]] = Attempt(
            chain=chain,
            sender=sender,
            nonce=fields["nonce"],
            height=self.world.state.cursors.need(chain).height,
            transfers=tuple((p.source, p.recipient, p.token, int(p.amount)) for p in purposes),
            withdrawals=tuple(names),
            digest=hashlib.sha256(bytes.fromhex(fields["message"])).hexdigest(),
            topups=tuple((p.recipient, p.token, int(p.amount)) for p in purposes if p.kind == "topup"),
        )
        self.books.live.add(fields["attempt"])
        for name in names:
            self.books.promises[name].state = "in_attempt"
            self.books.promises[name].attempt = fields["attempt"]

    def _integrity(self) -> list[tuple[str, str, str, str]]:
        return [hold for name, hold in self.books.holds.items() if name.startswith("auto:integrity")]

    @rule(pick=PICK, filler=st.booleans())
    def a_nonce_is_bumped_or_filled(self, pick: int, filler: bool) -> None:
        nonces = [name for name in self._open_attempts() if self.books.attempts[name].nonce is not None]
        if not nonces:
            return
        self._replace(self.books.attempts[nonces[pick % len(nonces)]], filler=filler)

    def _replace(self, old: Attempt, *, filler: bool) -> None:
        assert old.nonce is not None
        slot = self.world.state.nonces.need(old.chain, old.sender, old.nonce).attempts
        first = self.world.state.attempts.need(slot[0])
        paying = [item.id for item in first.purposes if item.kind == "withdrawal"]
        if len(slot) < 5:
            purposes = [] if filler else list(first.purposes)
            changes = {"nonce": old.nonce, "excludes": slot, "sender": old.sender}
            self._prepare(old.chain, purposes, [] if filler else paying, **changes)

    @rule(pick=PICK)
    def an_attempt_is_signed(self, pick: int) -> None:
        names = self._open_attempts()
        if names:
            name = names[pick % len(names)]
            if self.world.attempt_state(name) == "prepared":
                self.world.sign(name)

    @rule(pick=PICK, succeeds=st.sampled_from([True, True, True, False]), scan=st.booleans())
    def an_attempt_lands(self, pick: int, succeeds: bool, scan: bool) -> None:
        able = [
            name
            for name in self._open_attempts()
            if self.chains[self.books.attempts[name].chain].may_land(name, self.books.attempts[name])
        ]
        if able:
            name = able[pick % len(able)]
            chain = self.books.attempts[name].chain
            self.chains[chain].land(name, self.books.attempts[name], succeeds=succeeds)
            if scan:
                self._scan(chain)

    @rule(blocks=st.sampled_from([1, 60, 181, 182, 400]))
    def solana_moves_on(self, blocks: int) -> None:
        for _ in range(blocks):
            self.chains[SOL].mine()
        self._scan(SOL)

    @rule(pick=PICK, sane=st.booleans())
    def a_death_is_claimed(self, pick: int, sane: bool) -> None:
        names = self._open_attempts(SOL)
        if not names:
            return
        name = names[pick % len(names)]
        attempt = self.books.attempts[name]
        unsigned = self.world.attempt_state(name) == "prepared"
        code = self.world.evidence(name, "one", height=attempt.height + (182 if sane else 181))
        dead = (sane or unsigned) and self.world.state.cursors.need(SOL).height >= attempt.height + 182
        assert code == ("ok" if dead else "death_not_proven")
        if dead:
            self.books.live.discard(name)
            for withdrawal in attempt.withdrawals:
                self.books.promises[withdrawal].state = "queued"

    # --- the rest of the exchange

    @rule(source=st.sampled_from(["alice", "bob"]), asset=st.sampled_from(ASSETS), units=st.integers(1, 10**16))
    def users_trade(self, source: str, asset: str, units: int) -> None:
        target = "bob" if source == "alice" else "alice"
        legs = (tx.TransferLeg(source=source, target=target, asset=asset, amount=str(units)),)
        code = self.world.say("engine", tx.TransferBatch, id=self._name("batch"), legs=legs)
        if any(self.books.stopped("transfers", "-", asset, who) for who in (source, target)):
            assert code == "held"
        elif self.books.available.get((source, asset), 0) < units:
            assert code == "insufficient_balance"
        else:
            assert code == "ok"
            self.books.add(source, asset, -units)
            self.books.add(target, asset, units)

    @rule(
        direction=st.sampled_from(DIRECTIONS),
        chain=st.sampled_from(["", *CHAINS]),
        asset=st.sampled_from(["", "USDC", "ETH"]),
        account=st.sampled_from(["", "", "alice"]),
    )
    def something_is_held(self, direction: str, chain: str, asset: str, account: str) -> None:
        if len(self.books.holds) < 3:
            name = self._name("hold")
            assert self.world.hold(name, chain=chain, asset=asset, account=account, direction=direction) == "ok"
            self.books.holds[name] = (direction, chain, asset, account)

    @precondition(lambda self: self.books.holds)
    @rule(pick=PICK)
    def a_hold_is_lifted(self, pick: int) -> None:
        name = sorted(self.books.holds)[pick % len(self.books.holds)]
        assert self.world.lift(name, by="relay") == "hold_not_yours"
        assert self.world.lift(name) == "ok"
        del self.books.holds[name]
        self.books.credit()

    @rule(asset=st.sampled_from(ASSETS), value=st.sampled_from([0, 10**15, 20_000]))
    def the_threshold_changes(self, asset: str, value: int) -> None:
        self.world.parameter("approval_above", asset, value)

    @rule(chain=CHAIN, value=st.integers(1, 3))
    def the_number_of_tries_changes(self, chain: str, value: int) -> None:
        self.world.parameter("attempts", chain, value)
        self.books.retries[chain] = value

    @rule(by=st.integers(1, DAY))
    def time_passes(self, by: int) -> None:
        self.world.now += by

    @rule()
    def the_last_envelope_comes_again(self) -> None:
        last = self.world.executed[-1]
        (taken,) = self.world.put(last.block.transactions[-1])
        assert isinstance(taken, Repeat)
        assert taken.code == last.results[-1].code

    # --- what must be true

    @invariant()
    def the_books_are_right(self) -> None:
        state = self.world.state
        assert violations(state) == ()
        for account in ("alice", "bob", "carol", "dave"):
            for asset in ASSETS:
                whose = (account, asset)
                assert state.balance(asset, available(account)) == self.books.available.get(whose, 0), whose
                assert state.balance(asset, held(account)) == self.books.held.get(whose, 0), whose
        for name, promise in self.books.promises.items():
            assert str(state.withdrawals.need(name).state) == promise.state, name
        assert sorted(self.books.live) == [str(key[0]) for key, _ in state.open_attempts.rows()]
        assert [row.name for row in self.books.waiting] == [name for _, name in state.pending.rows()] or (
            sorted(row.name for row in self.books.waiting) == sorted(name for _, name in state.pending.rows())
        )
        assert sorted(self.books.holds) == self.world.holds()

    @invariant()
    def the_wallet_book_is_what_was_scanned(self) -> None:
        for name, chain in self.chains.items():
            for address in chain.ours:
                for token in (NATIVE, TOKEN[name]):
                    there = (address, token)
                    booked = self.world.state.wallets.get(name, *there) or 0
                    assert booked == chain.booked.get(there, 0), (name, *there)

    @invariant()
    def nobody_is_paid_twice(self) -> None:
        assert all(count == 1 for count in self.books.payments.values())
        settled: dict[tuple[str, str], int] = {}
        for _, row in self.world.state.withdrawals.rows():
            if str(row.state) == "settled" and row.tx:
                place = (row.chain, row.asset)
                settled[place] = settled.get(place, 0) + row.amount
        assert settled == self.books.paid_out

    @invariant()
    def a_follower_stands_at_the_same_root(self) -> None:
        for item in self.world.executed[self.followed :]:
            mine = self.follower.execute(item.block)
            assert mine.results == item.results
            for event in mine.events():
                if isinstance(event, ev.DepositCredited):
                    self.credited[event.deposit] = self.credited.get(event.deposit, 0) + 1
        self.followed = len(self.world.executed)
        assert self.follower.state.root == self.world.state.root
        assert self.follower.link == self.world.replica.link
        assert all(count == 1 for count in self.credited.values())

    @rule()
    def the_journal_is_replayed(self) -> None:
        if len(self.world.executed) % 4 == 0:
            assert replayed(self.world.executed).state.root == self.world.state.root

    def teardown(self) -> None:
        fresh = replayed(self.world.executed)
        assert fresh.state.root == self.world.state.root
        assert fresh.state.waiting == self.world.state.waiting
        assert [list(table.rows()) for table in fresh.state.tables()] == [
            list(table.rows()) for table in self.world.state.tables()
        ]


TestExchange = Exchange.TestCase
TestExchange.settings = settings(max_examples=25, stateful_step_count=60)


def test_the_model_would_notice() -> None:
    """The machine's own teeth: a ledger that paid a little too much is caught by its invariants."""
    machine = Exchange()
    machine.the_books_are_right()
    machine.books.add("alice", "USDC", 1)
    try:
        machine.the_books_are_right()
    except AssertionError:
        return
    raise AssertionError("a wrong balance went unnoticed")


def test_an_attempts_name_is_of_its_chain_its_sender_and_its_message() -> None:
    world = World()
    fields = world.attempt(SOL)
    message = hashlib.sha256(bytes.fromhex(fields["message"])).hexdigest()
    text = f"custody/attempt/1\0{SOL}\0{fields['sender']}\0{message}"
    assert fields["attempt"] == hashlib.sha256(text.encode()).hexdigest()
