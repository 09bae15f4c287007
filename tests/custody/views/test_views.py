"""Read models over real ledgers: what lived through history and what was rebuilt from the journal say the same."""

from __future__ import annotations

import asyncio

import pytest

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.identifiers import PENDING
from custody.ledger.lifecycle import OPEN_WITHDRAWALS, WITHDRAWAL, WithdrawalState
from custody.views.feed import REACHED, Feed
from custody.views.history import SCAN_LIMIT
from tests.custody.ledgers import EVM, SOL, STRANGER, Ledger, funded
from tests.custody.views.rig import Views, replayed
from tests.virtualtime import run


def paid_out(ledger: Ledger) -> str:
    """`w-eth` goes all the way to its settlement; the attempt's id."""
    sender = next(str(key[1]) for key, row in ledger.state.addresses.rows() if key[0] == EVM and row.tier == "hot")
    name = ledger.prepare(EVM, sender, (ledger.payment("w-eth", sender),))
    ledger.scan(EVM, outcomes=(ledger.outcome(name),))
    return name


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """A funded ledger with a withdrawal in each of several states, over several days."""
    ledger = funded()
    ledger.now += 1_000
    paid_out(ledger)
    ledger.say("payouts", tx.WithdrawalCancelled, id="w-usdc", reason="no")
    ledger.now += 1_000
    ledger.hold("h-1", chain=SOL, direction="deposits")
    alice = ledger.state.slots.need("alice", SOL).address
    ledger.scan(SOL, deposits=((alice, "native", 77),))
    ledger.now += 60_000
    ledger.say("operator", tx.HoldLifted, hold="h-1", reason="fine", actor="operator")
    ledger.withdraw("w-own", "alice", "SOL", SOL, 5, to=ledger.state.slots.need("bob", SOL).address)
    return ledger


@pytest.fixture(scope="module")
def views(ledger: Ledger) -> Views:
    return Views(ledger)


def test_the_books_are_the_ledger(views: Views, ledger: Ledger) -> None:
    assert views.books.state.root == ledger.state.root
    for ours, theirs in zip(views.books.state.tables(), ledger.state.tables(), strict=True):
        if theirs not in (ledger.state.said, ledger.state.windows):
            assert list(ours.rows()) == list(theirs.rows())


def test_a_moves_target_is_one_state() -> None:
    for (_, move), state in WITHDRAWAL.items():
        assert REACHED[move] is state


def test_withdrawals_are_listed_by_account_chain_and_state(views: Views) -> None:
    assert views.withdrawals() == ["w-eth", "w-usdc", "w-sol", "w-spl", "w-own"]
    assert views.withdrawals(account="alice", chain=SOL) == ["w-sol", "w-spl", "w-own"]
    assert views.withdrawals(state="settled") == ["w-eth", "w-own"]
    assert views.withdrawals(account="bob") == []
    assert views.history.open_withdrawals(state="", limit=10) == ("w-sol", "w-spl")
    assert views.history.open_withdrawals(state="queued", limit=1) == ("w-sol",)
    assert views.history.latest_withdrawals("alice", 2) == ("w-own", "w-spl")


def test_times_are_those_of_the_blocks(views: Views, ledger: Ledger) -> None:
    assert views.history.ended_at("w-sol") is None
    assert views.history.ended_at("w-usdc") == views.history.ended_at("w-eth")
    assert views.history.ended_at("w-own") == ledger.now
    [late] = [str(k[0]) for k, row in ledger.state.deposits.rows() if row.amount == 77]
    row = ledger.state.deposits.need(late)
    assert views.history.credited_at(late) == views.history.recorded_at(row.order) + 60_000 == ledger.now


def test_holds_are_remembered_with_their_end(views: Views, ledger: Ledger) -> None:
    [record] = views.history.holds(10)
    assert (record.id, record.hold.direction) == ("h-1", "deposits")
    assert (record.lifted, record.lifted_by, record.lifted_reason) == (ledger.now, "operator", "fine")


def test_tallies_are_what_a_walk_over_everything_finds(views: Views, ledger: Ledger) -> None:
    owed: dict[str, int] = {}
    for key, amount in ledger.state.balances.rows():
        if str(key[1]).startswith("user:") or key[1] == PENDING:
            owed[str(key[0])] = owed.get(str(key[0]), 0) + amount
    assert views.tallies.owed == owed
    counts: dict[tuple[str, str], int] = {}
    oldest: dict[tuple[str, str], int] = {}
    for _, row in ledger.state.withdrawals.rows():
        counts[row.chain, row.state] = counts.get((row.chain, row.state), 0) + 1
        if row.state in OPEN_WITHDRAWALS:
            oldest[row.chain, row.state] = min(row.requested, oldest.get((row.chain, row.state), row.requested))
    assert {(c, s): n for c, s, n in views.tallies.withdrawals() if n} == counts
    assert {(c, s): at for c, s, at in views.tallies.oldest()} == oldest
    held: dict[tuple[str, str, str], int] = {}
    for key, raw in ledger.state.wallets.rows():
        chain, address, token = map(str, key)
        asset = ledger.state.tokens.need(chain, token)
        tier = ledger.state.addresses.need(chain, address).tier
        held[asset, chain, tier] = held.get((asset, chain, tier), 0) + raw
    assert {(a, c, t): n for a, c, t, n in views.tallies.assets()} == held
    assert {(h.chain, h.tier) for h in views.tallies.houses()} == {(c, t) for c in (EVM, SOL) for t in ("hot", "gas")}


def test_tallies_follow_a_withdrawal_that_moves_twice_in_one_block() -> None:
    """The books show the end of the block; the counts must follow each step."""
    ledger = Ledger()
    ledger.house(EVM)
    alice = ledger.user("alice", EVM)
    ledger.scan(EVM, deposits=((alice, "native", 1000),))
    views = Views(ledger)
    draft = ledger.replica.begin(now=ledger.now)
    asked = {"account": "alice", "asset": "ETH", "chain": EVM, "amount": "5", "create_account": False}
    asked["to"] = STRANGER[EVM]
    draft.take(ledger.said("payouts", tx.WithdrawalRequested, id="w-1", **asked))
    draft.take(ledger.said("payouts", tx.WithdrawalCancelled, id="w-1", reason="no"))
    draft.take(ledger.said("payouts", tx.WithdrawalRequested, id="w-2", **asked))
    assert len(draft.entries) == 3
    views.follow(ledger.replica.seal(draft, ledger.keys["sequencer"]))
    assert {(s, n) for _, s, n in views.tallies.withdrawals()} == {("cancelled", 1), ("queued", 1)}
    assert [s for _, s, _ in views.tallies.oldest()] == ["queued"]


def test_the_oldest_is_right_whatever_comes_and_goes() -> None:
    ledger = Ledger()
    ledger.house(EVM)
    alice = ledger.user("alice", EVM)
    ledger.scan(EVM, deposits=((alice, "native", 10**6),))
    for n in range(200):
        ledger.now += 10
        ledger.withdraw(f"w-{n}", "alice", "ETH", EVM, 1)
        if n not in (3, 150):
            ledger.say("payouts", tx.WithdrawalCancelled, id=f"w-{n}", reason="no")
    views = Views(ledger)
    assert views.tallies.oldest() == ((EVM, "queued", ledger.state.withdrawals.need("w-3").requested),)
    ledger.say("payouts", tx.WithdrawalCancelled, id="w-3", reason="no")
    assert Views(ledger).tallies.oldest() == ((EVM, "queued", ledger.state.withdrawals.need("w-150").requested),)
    assert {s: n for _, s, n in Views(ledger).tallies.withdrawals()} == {"queued": 1, "cancelled": 199}


def test_reconciled_assets_are_remembered_and_others_not() -> None:
    ledger = funded()
    state, position = ledger.state, ledger.state.cursors.need(EVM).position
    rows = [(k, raw) for k, raw in state.wallets.rows() if k[0] == EVM]
    said = tuple(
        tx.ObservedBalance(address=str(k[1]), token=str(k[2]), amount=str(raw - (k[2] != "native"))) for k, raw in rows
    )
    ledger.now += 5_000
    ledger.say("watcher", tx.BalancesObserved, chain=EVM, position=position, balances=said)
    assert Views(ledger).tallies.reconciled == {(EVM, "ETH"): ledger.now}, "USDC was one unit short"


def test_the_feed_is_gapless_public_and_the_same_when_rebuilt(ledger: Ledger, views: Views) -> None:
    entries = views.feed.page(0, 10_000)
    assert [entry.sequence for entry in entries] == list(range(1, views.feed.last + 1))
    assert entries == Views(ledger).feed.page(0, 10_000)
    assert all(entry.event.account for entry in entries if isinstance(entry.event, ev.AddressAssigned))
    assert views.feed.page(3, 2) == entries[3:5]
    assert views.feed.page(views.feed.last, 10) == ()
    every = [event for executed in views.executed for event in executed.events()]
    moved = [event for event in every if isinstance(event, ev.WithdrawalMoved)]
    assert [entry.event for entry in entries if isinstance(entry.event, ev.WithdrawalMoved)] == moved
    assert REACHED[moved[-1].move] in WithdrawalState


def test_a_page_looks_at_a_bounded_number_of_rows() -> None:
    """What lies beyond is the next page's, even when this one is empty."""
    ledger = Ledger()
    alice = {chain: ledger.user("alice", chain) for chain in (EVM, SOL)}
    left = SCAN_LIMIT + 100
    while left > 0:
        ledger.scan(EVM, deposits=tuple((alice[EVM], "native", 1) for _ in range(min(4_000, left))))
        left -= 4_000
    ledger.scan(SOL, deposits=((alice[SOL], "native", 1),))
    history = Views(ledger).history
    for account in ("", "alice"):
        page = history.deposits(account=account, chain=SOL, state="", after=0, limit=10)
        assert (page.ids, page.after) == ((), SCAN_LIMIT)
        assert page.after is not None
        rest = history.deposits(account=account, chain=SOL, state="", after=page.after, limit=10)
        assert (len(rest.ids), rest.after) == (1, None)


def test_waiting_for_events_ends_with_one_or_with_the_time(ledger: Ledger) -> None:
    """In virtual time: thirty seconds are thirty seconds, and no event is slept through."""
    blocks_ = list(replayed(ledger))

    async def story() -> tuple[float, float, int]:
        loop = asyncio.get_running_loop()
        feed = Feed()
        began = loop.time()
        await feed.beyond(0, 30)
        over = loop.time() - began
        waiting = asyncio.create_task(feed.beyond(0, 30))
        await asyncio.sleep(7)
        assert feed.waiting == 1
        for executed in blocks_:
            feed.published(executed)
        await waiting
        return over, loop.time() - began, feed.waiting

    assert run(story()) == (30, 37, 0)
