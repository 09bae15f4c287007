"""Derivation indexes: chains of one family share their keys, so an index belongs to an account and not to a chain."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from custody.ledger import transactions as tx
from tests.custody.ledger.world import BSC, ETH, SOL, World

ACCOUNTS = ("alice", "bob", "carol", "dave")


@given(asked=st.permutations(list(itertools.product(ACCOUNTS, (ETH, BSC, SOL)))))
def test_no_two_accounts_share_a_key_in_whatever_order_they_ask(asked: list[tuple[str, str]]) -> None:
    world = World()
    owners: dict[tuple[str, int], str] = {}
    for account, chain in asked:
        world.ok("payouts", tx.AddressRequested, account=account, chain=chain)
        index = world.state.slots.need(account, chain).index
        family = world.state.chains.need(chain).family
        assert owners.setdefault((family, index), account) == account
    for account in ACCOUNTS:
        assert world.state.slots.need(account, ETH).index == world.state.slots.need(account, BSC).index


def test_indexes_are_given_out_without_a_gap() -> None:
    world = World()
    for account, chain in (("a", ETH), ("b", BSC), ("b", ETH), ("c", BSC)):
        world.ok("payouts", tx.AddressRequested, account=account, chain=chain)
    assert [world.state.slots.need(account, BSC).index for account in ("b", "c")] == [1, 2]
